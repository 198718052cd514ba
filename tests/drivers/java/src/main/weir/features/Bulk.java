package weir.features;

import static weir.Expect.equal;
import static weir.Expect.notApplicable;
import static weir.Expect.rejected;
import static weir.Expect.that;

import com.mongodb.MongoBulkWriteException;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.BulkWriteOptions;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.InsertOneModel;
import com.mongodb.client.model.UpdateOneModel;
import com.mongodb.client.model.Updates;
import com.mongodb.client.model.WriteModel;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.bson.Document;
import weir.ClientBulk;
import weir.Context;

/** Many writes in one call. */
public final class Bulk {
    private static final int CLIENT_BULK_WRITE_VERSION = 25;

    /** What a bulk write did, and the index and code of its only error. */
    private record Outcome(int inserted, int modified, int failedAt, int code) {}

    private Bulk() {}

    public static void bulk(Context context) {
        var things = context.emptyCollection("bulk");
        equal("ordered", new Outcome(2, 0, 2, 11000), withErrorInTheMiddle(things, true));
        equal("unordered", new Outcome(3, 1, 2, 11000), withErrorInTheMiddle(things, false));

        things.deleteMany(new Document());
        var many = IntStream.range(0, 10_000).mapToObj(n -> new Document("_id", n)).toList();
        equal("inserted in one call", 10_000, things.insertMany(many).getInsertedIds().size());
        equal("counted", 10_000L, things.countDocuments());
    }

    /** Four inserts of which the third repeats the first, then an update. */
    private static Outcome withErrorInTheMiddle(MongoCollection<Document> things, boolean ordered) {
        things.deleteMany(new Document());
        var models = new ArrayList<WriteModel<Document>>();
        for (var id : List.of(1, 2, 1, 3)) {
            models.add(new InsertOneModel<>(new Document("_id", id)));
        }
        models.add(new UpdateOneModel<>(Filters.eq(2), Updates.set("x", 1)));
        var exception = rejected("bulkWrite",
                () -> things.bulkWrite(models, new BulkWriteOptions().ordered(ordered)));
        if (!(exception instanceof MongoBulkWriteException failed)) {
            throw exception;
        }
        that(failed.getWriteErrors().size() == 1, "expected one write error, got " + failed.getWriteErrors());
        var first = failed.getWriteErrors().get(0);
        var done = failed.getWriteResult();
        return new Outcome(done.getInsertedCount(), done.getModifiedCount(), first.getIndex(), first.getCode());
    }

    public static void clientBulkWrite(Context context) {
        if (!ClientBulk.AVAILABLE) {
            throw notApplicable("the driver has no bulkWrite of the client");
        }
        if (context.maxWireVersion() < CLIENT_BULK_WRITE_VERSION) {
            throw notApplicable(
                    "the server has no bulkWrite command (maxWireVersion " + context.maxWireVersion() + ")");
        }
        var client = context.client();
        var one = context.collection(client, "bulk_one");
        var two = context.collection(client, "bulk_two");
        one.deleteMany(new Document());
        two.deleteMany(new Document());
        equal("inserted and modified", List.of(2L, 1L),
                ClientBulk.write(client, one.getNamespace(), two.getNamespace()));
        equal("the first namespace", new Document("_id", 1), one.find().first());
        equal("the second namespace", new Document("_id", 1).append("x", 1), two.find().first());
    }
}
