package weir.features;

import static weir.Expect.codeOf;
import static weir.Expect.equal;
import static weir.Expect.rejected;
import static weir.Expect.that;

import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.bson.Document;
import weir.Context;

/** Operations that must not take longer than they may. */
public final class Deadlines {
    private static final int MAX_TIME_MS_EXPIRED = 50;
    /** Drivers with this class, 5.2 and later, have a limit for a whole operation. */
    private static final String TIMEOUT = "com.mongodb.MongoOperationTimeoutException";

    private Deadlines() {}

    public static void timeout(Context context) {
        var things = context.emptyCollection("timeout");
        things.insertOne(new Document("_id", 1));
        if (hasOperationTimeout()) {
            byClient(context);
        } else {
            context.sayAlso("by maxTimeMS: this driver has no timeoutMS");
            byServer(things);
        }
    }

    private static boolean hasOperationTimeout() {
        try {
            Class.forName(TIMEOUT);
            return true;
        } catch (ClassNotFoundException old) {
            return false;
        }
    }

    private static void byClient(Context context) {
        var client = context.clientWithOption("timeoutMS=300");
        var things = context.collection(client, "timeout");
        // The limit is for the operation, not for the handshake before it.
        context.database(client).runCommand(new Document("ping", 1));
        context.failCommand("find", new Document("blockConnection", true).append("blockTimeMS", 2000));
        var exception = inTime(() -> things.find().first());
        equal("kind of error", TIMEOUT, exception.getClass().getName());
        equal("the next operation", new Document("_id", 1), things.find().first());
    }

    private static void byServer(MongoCollection<Document> things) {
        var exception = inTime(() ->
                things.find(Filters.where("sleep(2000) || true")).maxTime(300, TimeUnit.MILLISECONDS).first());
        equal("code", MAX_TIME_MS_EXPIRED, codeOf(exception));
        equal("the next operation", new Document("_id", 1), things.find().first());
    }

    /** The exception of an action, which has to come about when 300 ms are over. */
    private static RuntimeException inTime(Callable<?> action) {
        var began = System.nanoTime();
        var exception = rejected("an operation that takes 2 s", action);
        var took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
        that(took >= 250 && took <= 1500, "the error came after " + took + " ms: " + exception);
        return exception;
    }
}
