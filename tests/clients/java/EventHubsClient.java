import com.azure.core.util.IterableStream;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubConsumerClient;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An Event Hubs client made of azure-messaging-eventhubs, for tests.
 *
 * <pre>
 * EventHubsClient CONNECTION_STRING send            reads events from standard input, a line each
 * EventHubsClient CONNECTION_STRING receive COUNT   prints what is in the hub, until COUNT events have come
 * </pre>
 *
 * A line is {"body": TEXT, "properties": {NAME: TEXT, ...}, "partitionKey": TEXT or null}.
 */
public class EventHubsClient {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        EventHubClientBuilder builder = new EventHubClientBuilder().connectionString(args[0]);
        if (args[1].equals("send")) {
            send(builder);
        } else {
            receive(builder, Integer.parseInt(args[2]));
        }
        // The client's threads are no daemons.
        System.exit(0);
    }

    private static void send(EventHubClientBuilder builder) throws Exception {
        Map<String, List<EventData>> byKey = new LinkedHashMap<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonNode event = JSON.readTree(line);
            EventData data = new EventData(event.get("body").asText());
            event.get("properties").fields()
                    .forEachRemaining(member -> data.getProperties().put(member.getKey(), member.getValue().asText()));
            String key = event.get("partitionKey").isNull() ? null : event.get("partitionKey").asText();
            byKey.computeIfAbsent(key, none -> new ArrayList<>()).add(data);
        }
        try (EventHubProducerClient producer = builder.buildProducerClient()) {
            for (Map.Entry<String, List<EventData>> entry : byKey.entrySet()) {
                EventDataBatch batch = producer.createBatch(new CreateBatchOptions().setPartitionKey(entry.getKey()));
                for (EventData event : entry.getValue()) {
                    if (!batch.tryAdd(event)) {
                        throw new IllegalStateException("the batch is full");
                    }
                }
                producer.send(batch);
            }
        }
    }

    private static void receive(EventHubClientBuilder builder, int count) throws Exception {
        int left = count;
        Map<String, EventPosition> positions = new HashMap<>();
        try (EventHubConsumerClient consumer = builder.consumerGroup("$Default").buildConsumerClient()) {
            while (left > 0) {
                for (String partition : consumer.getPartitionIds()) {
                    EventPosition from = positions.getOrDefault(partition, EventPosition.earliest());
                    IterableStream<PartitionEvent> events =
                            consumer.receiveFromPartition(partition, 100, from, Duration.ofSeconds(1));
                    for (PartitionEvent event : events) {
                        print(event.getData());
                        long sequenceNumber = event.getData().getSequenceNumber();
                        positions.put(partition, EventPosition.fromSequenceNumber(sequenceNumber));
                        left--;
                    }
                }
            }
        }
    }

    private static void print(EventData event) throws Exception {
        ObjectNode line = JSON.createObjectNode();
        line.put("body", event.getBodyAsString());
        ObjectNode properties = line.putObject("properties");
        event.getProperties().forEach((name, value) -> properties.put(name, String.valueOf(value)));
        line.put("partitionKey", event.getPartitionKey());
        System.out.println(JSON.writeValueAsString(line));
    }
}
