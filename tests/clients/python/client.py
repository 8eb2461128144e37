"""An Event Hubs client made of the `azure-eventhub` package, for tests.

client.py CONNECTION_STRING send            reads events from standard input, a line each
client.py CONNECTION_STRING receive COUNT   prints what is in the hub, until COUNT events have come

A line is {"body": TEXT, "properties": {NAME: TEXT, ...}, "partitionKey": TEXT or null}.
"""

import json
import sys
import threading

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient


def send(connection_string):
    by_key = {}
    for line in sys.stdin:
        event = json.loads(line)
        data = EventData(event["body"])
        data.properties = event["properties"]
        by_key.setdefault(event["partitionKey"], []).append(data)
    with EventHubProducerClient.from_connection_string(connection_string) as producer:
        for key, events in by_key.items():
            batch = producer.create_batch(partition_key=key)
            for event in events:
                batch.add(event)
            producer.send_batch(batch)


def receive(connection_string, count):
    lock = threading.Lock()
    left = count

    def text(value):
        return value.decode() if isinstance(value, bytes) else value

    def on_event_batch(_context, events):
        nonlocal left
        with lock:
            for event in events:
                properties = {text(name): text(value) for name, value in (event.properties or {}).items()}
                line = {
                    "body": event.body_as_str(),
                    "properties": properties,
                    "partitionKey": text(event.partition_key),
                }
                print(json.dumps(line), flush=True)
            left -= len(events)
            if left <= 0:
                done.set()

    def on_error(_context, error):
        print(f"receive: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    done = threading.Event()
    consumer = EventHubConsumerClient.from_connection_string(connection_string, consumer_group="$Default")
    options = {"on_error": on_error, "starting_position": "-1", "max_wait_time": 1}
    worker = threading.Thread(target=consumer.receive_batch, args=(on_event_batch,), kwargs=options, daemon=True)
    worker.start()
    done.wait()
    consumer.close()
    worker.join()


if __name__ == "__main__":
    if sys.argv[2] == "send":
        send(sys.argv[1])
    else:
        receive(sys.argv[1], int(sys.argv[3]))
