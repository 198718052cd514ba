package weir.features;

import static weir.Expect.equal;

import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.function.BiConsumer;
import org.bson.Document;
import weir.Context;
import weir.Watched;

/** What the driver repeats so that the application sees no error. */
public final class Retries {
    private static final int HOST_UNREACHABLE = 6;

    private Retries() {}

    public static void retryableRead(Context context) {
        var answer = new Document("errorCode", HOST_UNREACHABLE);
        underFailures(context, "find", answer, (things, what) ->
                equal("found", List.of(new Document("_id", "there")), things.find().into(new ArrayList<>())));
    }

    public static void retryableWrite(Context context) {
        var answer = new Document("errorCode", HOST_UNREACHABLE)
                .append("errorLabels", List.of("RetryableWriteError"));
        underFailures(context, "insert", answer, (things, what) -> {
            things.insertOne(new Document("what", what));
            equal("times the document is there", 1L, things.countDocuments(Filters.eq("what", what)));
        });
    }

    /** Runs the operation under an error, then under a closed connection. */
    private static void underFailures(
            Context context, String command, Document answer,
            BiConsumer<MongoCollection<Document>, String> operation) {
        var seen = new Watched();
        var things = context.collection(context.client(seen::watch), "retry_" + command);
        things.deleteMany(new Document());
        things.insertOne(new Document("_id", "there"));
        var failures = new LinkedHashMap<String, Document>();
        failures.put("errorCode", answer);
        failures.put("closeConnection", new Document("closeConnection", true));
        failures.forEach((what, failure) -> {
            context.failCommand(command, failure);
            seen.forget();
            operation.accept(things, what);
            equal(command + " commands sent, " + what, 2, seen.count(command));
        });
    }
}
