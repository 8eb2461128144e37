// An Event Hubs client made of the `@azure/event-hubs` package, for tests.
//
// client.cjs CONNECTION_STRING send            reads events from standard input, a line each
// client.cjs CONNECTION_STRING receive COUNT   prints what is in the hub, until COUNT events have come
//
// A line is {"body": TEXT, "properties": {NAME: TEXT, ...}, "partitionKey": TEXT or null}.

const readline = require("node:readline");
const { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition } = require("@azure/event-hubs");

async function send(connectionString) {
  const byKey = new Map();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { body, properties, partitionKey } = JSON.parse(line);
    if (!byKey.has(partitionKey)) byKey.set(partitionKey, []);
    // A Buffer goes out as it is; text would be sent as JSON, in quotes.
    byKey.get(partitionKey).push({ body: Buffer.from(body), properties });
  }
  const producer = new EventHubProducerClient(connectionString);
  for (const [partitionKey, events] of byKey) {
    const batch = await producer.createBatch(partitionKey === null ? {} : { partitionKey });
    for (const event of events) {
      if (!batch.tryAdd(event)) throw new Error("the batch is full");
    }
    await producer.sendBatch(batch);
  }
  await producer.close();
}

function text(body) {
  if (typeof body === "string") return body;
  return Buffer.isBuffer(body) ? body.toString() : JSON.stringify(body);
}

async function receive(connectionString, count) {
  let left = count;
  const consumer = new EventHubConsumerClient("$Default", connectionString);
  await new Promise((resolve) => {
    const handlers = {
      processEvents: async (events) => {
        for (const event of events) {
          const { body, properties = {}, partitionKey = null } = event;
          console.log(JSON.stringify({ body: text(body), properties, partitionKey }));
        }
        left -= events.length;
        if (left <= 0) resolve();
      },
      processError: async (error) => console.error(`receive: ${error.name}: ${error.message}`),
    };
    const options = { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1, skipParsingBodyAsJson: true };
    consumer.subscribe(handlers, options);
  });
  await consumer.close();
}

const [connectionString, action, count] = process.argv.slice(2);
const done = action === "send" ? send(connectionString) : receive(connectionString, Number(count));
done.then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
