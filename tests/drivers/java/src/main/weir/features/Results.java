package weir.features;

import static weir.Expect.equal;
import static weir.Expect.that;

import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Aggregates;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Sorts;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.bson.Document;
import org.bson.conversions.Bson;
import weir.Context;

/** Results that go into collections, and large ones. */
public final class Results {
    private Results() {}

    public static void outMerge(Context context) {
        var database = context.database(context.client());
        var things = database.getCollection("source");
        var copied = database.getCollection("copied");
        var merged = database.getCollection("merged");
        for (var each : List.of(things, copied, merged)) {
            each.deleteMany(new Document());
        }
        var documents = IntStream.rangeClosed(1, 3).mapToObj(n -> new Document("_id", n).append("n", n)).toList();
        things.insertMany(documents);
        merged.insertOne(new Document("_id", 3).append("old", true));

        aggregateInto(things, Aggregates.out("copied"));
        equal("$out", documents.subList(1, 3), byId(copied));
        aggregateInto(things, Aggregates.merge("merged"));
        var third = new Document("_id", 3).append("old", true).append("n", 3);
        equal("$merge", List.of(documents.get(1), third), byId(merged));
    }

    private static void aggregateInto(MongoCollection<Document> things, Bson last) {
        things.aggregate(List.of(Aggregates.match(Filters.gt("n", 1)), last)).toCollection();
    }

    private static List<Document> byId(MongoCollection<Document> things) {
        return things.find().sort(Sorts.ascending("_id")).into(new ArrayList<>());
    }

    public static void largeResults(Context context) {
        var things = context.emptyCollection("large");
        for (var start = 0; start < 2000; start += 500) {
            things.insertMany(IntStream.range(start, start + 500)
                    .mapToObj(n -> new Document("_id", n).append("payload", payload(n)))
                    .toList());
        }
        var read = 0;
        for (var document : things.find().sort(Sorts.ascending("_id")).batchSize(50)) {
            equal("_id", read, document.getInteger("_id"));
            that(document.getString("payload").equals(payload(read)), "document " + read + " has another payload");
            read++;
        }
        equal("documents read", 2000, read);

        var big = "x".repeat(12_000_000);
        things.insertOne(new Document("_id", "big").append("big", big));
        that(things.find(Filters.eq("big")).first().getString("big").equals(big), "the 12 MB came back changed");
        things.drop();
    }

    private static String payload(int n) {
        return String.format("%08d", n).repeat(1280);
    }
}
