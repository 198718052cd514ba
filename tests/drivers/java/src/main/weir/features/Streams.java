package weir.features;

import static weir.Expect.equal;
import static weir.Expect.notApplicable;

import com.mongodb.CursorType;
import com.mongodb.client.model.CreateCollectionOptions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.bson.Document;
import weir.Context;
import weir.Watched;

/** Cursors that wait for what comes. */
public final class Streams {
    private static final int HOST_UNREACHABLE = 6;

    private Streams() {}

    public static void changeStream(Context context) {
        var seen = new Watched();
        var things = context.collection(context.client(seen::watch), "change_stream");
        things.deleteMany(new Document());
        var ids = new ArrayList<Integer>();
        try (var events = things.watch().maxAwaitTime(500, TimeUnit.MILLISECONDS).cursor()) {
            for (var ranges : List.of(List.of(1, 2, 3), List.of(4, 5, 6))) {
                if (!ids.isEmpty()) {
                    context.failCommand("getMore", new Document("errorCode", HOST_UNREACHABLE)
                            .append("errorLabels", List.of("ResumableChangeStreamError")));
                }
                ranges.forEach(id -> things.insertOne(new Document("_id", id)));
                ranges.forEach(id -> ids.add(events.next().getDocumentKey().getInt32("_id").getValue()));
            }
            equal("events", List.of(1, 2, 3, 4, 5, 6), ids);
            equal("event after the last write", null, events.tryNext());
        }
        equal("times the stream was opened", 2, seen.count("aggregate"));
    }

    public static void tailable(Context context) throws InterruptedException {
        var database = context.database(context.client());
        database.createCollection("tailable", new CreateCollectionOptions().capped(true).sizeInBytes(100_000));
        var things = database.getCollection("tailable");
        things.insertOne(new Document("_id", 0));
        var ids = new ArrayList<Integer>();
        try (var cursor = things.find().cursorType(CursorType.TailableAwait)
                .maxAwaitTime(500, TimeUnit.MILLISECONDS).cursor()) {
            ids.add(cursor.next().getInteger("_id"));
            var writer = new Thread(() -> IntStream.rangeClosed(1, 3)
                    .forEach(id -> things.insertOne(new Document("_id", id))));
            writer.start();
            while (ids.size() < 4) {
                ids.add(cursor.next().getInteger("_id"));
            }
            writer.join();
        }
        equal("documents of the tailable cursor", List.of(0, 1, 2, 3), ids);
        things.drop();
    }

    public static void exhaust(Context context) {
        throw notApplicable("the driver has no exhaust cursors");
    }
}
