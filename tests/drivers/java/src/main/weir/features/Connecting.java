package weir.features;

import static weir.Expect.equal;
import static weir.Expect.refused;
import static weir.Expect.that;

import com.mongodb.MongoClientSettings;
import com.mongodb.ServerApi;
import com.mongodb.ServerApiVersion;
import com.mongodb.client.MongoClient;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.bson.Document;
import weir.Context;

/** Clients that come, do a little and go. */
public final class Connecting {
    private static final int AUTHENTICATION_FAILED = 18;
    private static final int API_STRICT_ERROR = 323;

    private Connecting() {}

    public static void connect(Context context) {
        for (var round = 0; round < 3; round++) {
            try (var client = context.client()) {
                pingWriteRead(context, client);
            }
        }
    }

    public static void serverApi(Context context) {
        var api = ServerApi.builder().version(ServerApiVersion.V1).build();
        for (var round = 0; round < 3; round++) {
            try (var client = context.client(settings -> settings.serverApi(api))) {
                pingWriteRead(context, client);
            }
        }
    }

    public static void serverApiStrict(Context context) {
        var api = ServerApi.builder().version(ServerApiVersion.V1).strict(true).deprecationErrors(true).build();
        var client = context.client(settings -> settings.serverApi(api));
        var things = context.collection(client, "strict");
        things.deleteMany(new Document());
        things.insertOne(new Document("_id", 1).append("n", 1));
        equal("updated", 1L, things.updateOne(Filters.eq(1), Updates.inc("n", 1)).getModifiedCount());
        equal("found", List.of(new Document("_id", 1).append("n", 2)), things.find().into(new ArrayList<>()));
        equal("deleted", 1L, things.deleteOne(Filters.eq(1)).getDeletedCount());
        that(client.listDatabaseNames().first() != null, "no databases listed");
        refused("collStats", API_STRICT_ERROR,
                () -> context.database(client).runCommand(new Document("collStats", "strict")));
    }

    public static void login(Context context, String name) {
        var right = context.uri(name);
        var wrong = right.replaceFirst("://([^:@]+):[^@]*@", "://$1:not-the-password@");
        that(!wrong.equals(right), "the uri \"" + name + "\" has no password");
        Consumer<String> through = uri -> {
            Consumer<MongoClientSettings.Builder> asItIs = settings -> {};
            try (var client = context.clientOf(uri, asItIs)) {
                pingWriteRead(context, client);
            }
        };
        through.accept(right);
        refused("a wrong password", AUTHENTICATION_FAILED, () -> {
            through.accept(wrong);
            return null;
        });
        through.accept(right);
    }

    private static void pingWriteRead(Context context, MongoClient client) {
        var reply = context.database(client).runCommand(new Document("ping", 1));
        equal("ping", 1, reply.get("ok", Number.class).intValue());
        var things = context.collection(client, "connect");
        var inserted = things.insertOne(new Document("text", "hello")).getInsertedId();
        equal("document read back", "hello", things.find(Filters.eq(inserted)).first().getString("text"));
    }
}
