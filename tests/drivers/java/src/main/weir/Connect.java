package weir;

import com.mongodb.ConnectionString;
import com.mongodb.ReadPreference;
import com.mongodb.client.MongoClients;
import java.util.Objects;
import java.util.function.Consumer;
import org.bson.Document;
import org.bson.types.ObjectId;

/** A program that has its connection string from its environment, as the shim leaves it. */
final class Connect {
    private Connect() {}

    static void run(Document plan, Consumer<Document> say) {
        for (var each : plan.getList("cases", Document.class)) {
            var line = new Document("id", each.getString("id"))
                    .append("outcome", "ok")
                    .append("database", null)
                    .append("weir", null)
                    .append("message", "");
            try {
                connect(System.getenv(each.getString("variable")), line);
            } catch (RuntimeException error) {
                line.append("outcome", "error").append("message", error.toString());
            }
            say.accept(line);
        }
    }

    private static void connect(String string, Document line) {
        var uri = new ConnectionString(string);
        try (var client = MongoClients.create(uri)) {
            var name = Objects.requireNonNullElse(uri.getDatabase(), "test");
            line.append("database", name);
            var hello = client.getDatabase("admin").runCommand(new Document("hello", 1));
            line.append("weir", hello.getString("weir"));
            var things = client.getDatabase(name).getCollection("shim");
            var document = new Document("_id", new ObjectId()).append("text", line.getString("id"));
            things.insertOne(document);
            var read = things.withReadPreference(ReadPreference.primary());
            Expect.equal("document", document, read.find(new Document("_id", document.get("_id"))).first());
        }
    }
}
