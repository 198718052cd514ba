package weir.features;

import static weir.Expect.equal;
import static weir.Expect.refused;
import static weir.Expect.that;

import com.mongodb.client.model.Filters;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import org.bson.Document;
import weir.Context;
import weir.Watched;

/** Commands by name, and a client that is left in peace. */
public final class Commands {
    private static final int COMMAND_NOT_FOUND = 59;

    private Commands() {}

    public static void commands(Context context) {
        var database = context.database(context.client());
        var things = database.getCollection("commands");
        things.deleteMany(new Document());
        things.insertOne(new Document("_id", 1));
        BiFunction<String, Object, Document> run = (name, value) -> database.runCommand(new Document(name, value));

        equal("ping", 1, run.apply("ping", 1).get("ok", Number.class).intValue());
        equal("hello: writable", true, run.apply("hello", 1).getBoolean("isWritablePrimary"));
        that(run.apply("buildInfo", 1).getString("version").matches("\\d+\\.\\d+.*"), "buildInfo has no version");
        that(run.apply("connectionStatus", 1).containsKey("authInfo"), "connectionStatus has no authInfo");
        equal("dbStats", context.databaseName(), run.apply("dbStats", 1).getString("db"));
        equal("collStats", 1, run.apply("collStats", "commands").get("count", Number.class).intValue());
        var find = new Document("find", "commands").append("filter", new Document("_id", 1));
        that(run.apply("explain", find).containsKey("queryPlanner"), "explain has no queryPlanner");
        equal("listCollections with a filter", List.of("commands"),
                database.listCollections().filter(Filters.eq("name", "commands"))
                        .map(each -> each.getString("name")).into(new ArrayList<>()));
        refused("an unknown command", COMMAND_NOT_FOUND, () -> run.apply("noSuchCommand", 1));
    }

    public static void pool(Context context) {
        var seen = new Watched();
        var things = context.collection(context.client(seen::watch), "pool");
        things.deleteMany(new Document());
        for (var id = 0; id < 10; id++) {
            things.insertOne(new Document("_id", id));
            equal("read back", new Document("_id", id), things.find(Filters.eq(id)).first());
        }
        that(seen.created() > 0, "no pool event was seen");
        equal("pools cleared", 0, seen.poolCleared());
        equal("servers that became Unknown", 0, seen.unknown());
    }
}
