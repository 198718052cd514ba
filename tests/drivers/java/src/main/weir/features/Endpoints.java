package weir.features;

import static weir.Expect.equal;

import com.mongodb.WriteConcern;
import com.mongodb.client.MongoClient;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import java.util.ArrayList;
import java.util.stream.IntStream;
import org.bson.Document;
import weir.Context;

/** Other ways to the server than a plain one with acknowledged writes. */
public final class Endpoints {
    private Endpoints() {}

    public static void unacknowledged(Context context) {
        var client = context.client(settings -> settings.applyToConnectionPoolSettings(pool -> pool.maxSize(5)));
        var things = context.collection(client, "unacknowledged");
        things.deleteMany(new Document());
        var unanswered = things.withWriteConcern(WriteConcern.UNACKNOWLEDGED);
        for (var id = 1; id <= 100; id++) {
            unanswered.insertOne(new Document("_id", id));
        }
        equal("documents counted", 100L, things.countDocuments());
    }

    public static MongoClient crudThrough(Context context, String endpoint) {
        var client = context.clientOf(context.uri(endpoint), settings -> {});
        var things = context.collection(client, "road_" + endpoint);
        things.deleteMany(new Document());
        things.insertMany(IntStream.range(0, 100).mapToObj(n -> new Document("_id", n).append("n", n)).toList());
        equal("updated", 10L, things.updateMany(Filters.lt("n", 10), Updates.inc("n", 1)).getModifiedCount());
        equal("read in many batches", 100, things.find().batchSize(7).into(new ArrayList<>()).size());
        equal("deleted", 1L, things.deleteOne(Filters.eq(0)).getDeletedCount());
        return client;
    }

    public static void balanced(Context context) {
        var client = crudThrough(context, "balanced");
        var things = context.collection(client, "road_balanced");
        try (var session = client.startSession()) {
            session.withTransaction(() -> {
                things.insertOne(session, new Document("_id", "in a transaction"));
                return things.updateOne(session, Filters.eq(5), Updates.set("n", 500));
            });
        }
        equal("updated in the transaction", 500, things.find(Filters.eq(5)).first().getInteger("n"));
        equal("inserted in the transaction", 1L, things.countDocuments(Filters.eq("in a transaction")));
    }
}
