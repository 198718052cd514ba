package weir.features;

import static weir.Expect.equal;

import com.mongodb.TransactionOptions;
import com.mongodb.WriteConcern;
import com.mongodb.client.ClientSession;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.bson.Document;
import org.bson.conversions.Bson;
import weir.Context;
import weir.Watched;

/** Transactions by hand and with the convenient API. */
public final class Transactions {
    private static final int HOST_UNREACHABLE = 6;
    private static final int NO_SUCH_TRANSACTION = 251;
    private static final TransactionOptions MAJORITY =
            TransactionOptions.builder().writeConcern(WriteConcern.MAJORITY).build();

    /** A client that reports what it sends, and a collection of it with a counter. */
    private record Prepared(MongoClient client, MongoCollection<Document> things, Watched seen) {
        static Prepared in(Context context, String name) {
            var seen = new Watched();
            var client = context.client(seen::watch);
            var things = context.collection(client, name);
            things.deleteMany(new Document());
            things.insertOne(new Document("_id", "counter").append("n", 0));
            return new Prepared(client, things, seen);
        }

        void count(ClientSession session) {
            things.updateOne(session, Filters.eq("counter"), Updates.inc("n", 1));
        }

        int counter() {
            return things.find(Filters.eq("counter")).first().getInteger("n");
        }
    }

    private Transactions() {}

    public static void transactions(Context context) {
        var with = Prepared.in(context, "transactions");
        var outside = context.collection(context.client(), "transactions");
        Bson one = Filters.eq(1);
        Bson two = Filters.eq(2);
        try (var session = with.client().startSession()) {
            session.startTransaction(MAJORITY);
            with.things().insertOne(session, new Document("_id", 1));
            with.count(session);
            equal("own write inside", 1L, with.things().countDocuments(session, one));
            equal("seen from outside before the commit", 0L, outside.countDocuments(one));
            session.commitTransaction();
            equal("seen after the commit", 1L, outside.countDocuments(one));
            equal("counter after the commit", 1, with.counter());

            session.startTransaction(MAJORITY);
            with.things().insertOne(session, new Document("_id", 2));
            session.abortTransaction();
            equal("seen after the abort", 0L, outside.countDocuments(two));
        }
    }

    public static void transactionRetry(Context context) {
        var with = Prepared.in(context, "transaction_retry");
        context.failCommand("commitTransaction",
                new Document("errorCode", HOST_UNREACHABLE).append("errorLabels", List.of("RetryableWriteError")));
        try (var session = with.client().startSession()) {
            session.startTransaction(MAJORITY);
            with.count(session);
            session.commitTransaction();
        }
        equal("commits sent", 2, with.seen().count("commitTransaction"));
        equal("counter", 1, with.counter());
    }

    public static void withTransaction(Context context) {
        var with = Prepared.in(context, "with_transaction");
        context.failCommand("insert", new Document("errorCode", NO_SUCH_TRANSACTION)
                .append("errorLabels", List.of("TransientTransactionError")));
        var bodies = new AtomicInteger();
        try (var session = with.client().startSession()) {
            session.withTransaction(() -> {
                with.things().insertOne(session, new Document("body", bodies.incrementAndGet()));
                with.count(session);
                return null;
            }, MAJORITY);
        }
        equal("runs of the body", 2, bodies.get());
        equal("counter", 1, with.counter());
        equal("documents of the body", 1L, with.things().countDocuments(Filters.exists("body")));
    }
}
