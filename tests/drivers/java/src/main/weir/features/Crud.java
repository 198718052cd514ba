package weir.features;

import static weir.Expect.equal;
import static weir.Expect.refused;

import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.FindOneAndReplaceOptions;
import com.mongodb.client.model.FindOneAndUpdateOptions;
import com.mongodb.client.model.Indexes;
import com.mongodb.client.model.Projections;
import com.mongodb.client.model.ReturnDocument;
import com.mongodb.client.model.Sorts;
import com.mongodb.client.model.UpdateOptions;
import com.mongodb.client.model.Updates;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.bson.BsonInt32;
import org.bson.Document;
import weir.Context;

/** Everyday operations on documents and indexes. */
public final class Crud {
    private static final int DUPLICATE_KEY = 11000;

    private Crud() {}

    public static void crud(Context context) {
        var things = context.emptyCollection("crud");
        insertAndFind(things);
        update(things);
        findAndChange(things);
        remove(things);
        indexes(things);
    }

    private static void insertAndFind(MongoCollection<Document> things) {
        things.insertOne(new Document("_id", 0).append("n", 0).append("kind", "even"));
        var more = IntStream.range(1, 10)
                .mapToObj(n -> new Document("_id", n).append("n", n).append("kind", n % 2 == 0 ? "even" : "odd"))
                .toList();
        equal("inserted", 9, things.insertMany(more).getInsertedIds().size());
        var found = things.find(Filters.eq("kind", "even"))
                .sort(Sorts.descending("n")).skip(1).limit(2)
                .projection(Projections.fields(Projections.include("n"), Projections.excludeId()))
                .into(new ArrayList<>());
        equal("sort, skip, limit and projection", List.of(new Document("n", 6), new Document("n", 4)), found);
        equal("countDocuments", 5L, things.countDocuments(Filters.eq("kind", "odd")));
        equal("estimatedDocumentCount", 10L, things.estimatedDocumentCount());
        equal("distinct", Set.of("even", "odd"), things.distinct("kind", String.class).into(new TreeSet<>()));
        refused("the same _id again", DUPLICATE_KEY, () -> things.insertOne(new Document("_id", 0)));
    }

    private static void update(MongoCollection<Document> things) {
        equal("updateOne", 1L, things.updateOne(Filters.eq(1), Updates.set("x", 1)).getModifiedCount());
        equal("updateMany", 5L,
                things.updateMany(Filters.eq("kind", "odd"), Updates.inc("n", 10)).getModifiedCount());
        equal("replaceOne", 1L, things.replaceOne(Filters.eq(2), new Document("n", 22)).getModifiedCount());
        equal("replaced", new Document("_id", 2).append("n", 22), things.find(Filters.eq(2)).first());
        var upserted = things.updateOne(Filters.eq(99), Updates.set("n", 99), new UpdateOptions().upsert(true));
        equal("upsert", new BsonInt32(99), upserted.getUpsertedId());
    }

    private static void findAndChange(MongoCollection<Document> things) {
        var updated = things.findOneAndUpdate(Filters.eq(1), Updates.inc("n", 1),
                new FindOneAndUpdateOptions().returnDocument(ReturnDocument.AFTER));
        equal("findOneAndUpdate", 12, updated.getInteger("n"));
        var replaced = things.findOneAndReplace(Filters.eq(3), new Document("n", 33),
                new FindOneAndReplaceOptions().returnDocument(ReturnDocument.AFTER));
        equal("findOneAndReplace", new Document("_id", 3).append("n", 33), replaced);
        equal("findOneAndDelete", new Document("_id", 99).append("n", 99), things.findOneAndDelete(Filters.eq(99)));
    }

    private static void remove(MongoCollection<Document> things) {
        equal("deleteOne", 1L, things.deleteOne(Filters.eq(1)).getDeletedCount());
        equal("deleteMany", 4L, things.deleteMany(Filters.eq("kind", "even")).getDeletedCount());
        equal("left", 5L, things.countDocuments());
    }

    private static void indexes(MongoCollection<Document> things) {
        Supplier<List<String>> names = () ->
                things.listIndexes().map(index -> index.getString("name")).into(new ArrayList<>());
        equal("createIndex", "n_1", things.createIndex(Indexes.ascending("n")));
        equal("indexes", List.of("_id_", "n_1"), names.get());
        things.dropIndex("n_1");
        equal("indexes after the drop", List.of("_id_"), names.get());
    }
}
