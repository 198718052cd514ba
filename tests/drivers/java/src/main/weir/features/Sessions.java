package weir.features;

import static weir.Expect.equal;
import static weir.Expect.that;

import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import java.util.ArrayList;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bson.Document;
import weir.Context;
import weir.Watched;

/** Sessions, explicit and implicit, and many tasks on one client. */
public final class Sessions {
    private static final int TASKS = 50;

    private Sessions() {}

    public static void sessions(Context context) {
        var seen = new Watched();
        var client = context.client(seen::watch);
        var things = context.collection(client, "sessions");
        things.deleteMany(new Document());
        seen.forget();
        try (var session = client.startSession()) {
            things.insertOne(session, new Document("_id", 1));
            things.updateOne(session, Filters.eq(1), Updates.set("x", 1));
            equal("read in the session", new Document("_id", 1).append("x", 1),
                    things.find(session, Filters.eq(1)).first());
            var own = session.getServerSession().getIdentifier();
            equal("commands of the session", 3, seen.commands().size());
            seen.commands().forEach(sent -> equal("session of " + sent.name(), own, sent.session()));
        }
        inParallel(n -> things.insertOne(new Document("n", n)));
        equal("documents of implicit sessions", (long) TASKS, things.countDocuments(Filters.exists("n")));
        client.close();
        that(seen.count("endSessions") > 0, "endSessions was not sent");
    }

    public static void concurrent(Context context) {
        var things = context.emptyCollection("concurrent");
        inParallel(owner -> {
            for (var round = 0; round < 5; round++) {
                writeAndReadOwn(things, owner, round);
            }
        });
        equal("documents", 15L * TASKS, things.countDocuments());
    }

    private static void writeAndReadOwn(MongoCollection<Document> things, int owner, int round) {
        var payload = (owner + "-").repeat(500);
        things.insertMany(Stream.of(0, 1, 2)
                .map(n -> new Document("owner", owner).append("round", round).append("n", n)
                        .append("payload", payload))
                .toList());
        var mine = things.find(Filters.and(Filters.eq("owner", owner), Filters.eq("round", round)))
                .batchSize(2).into(new ArrayList<>());
        equal("documents of " + owner, 3, mine.size());
        that(mine.stream().allMatch(one ->
                        one.getInteger("owner") == owner && one.getString("payload").equals(payload)),
                owner + " read the payload of another");
    }

    private static void inParallel(IntConsumer task) {
        ExecutorService threads = Executors.newFixedThreadPool(TASKS);
        try {
            var running = IntStream.range(0, TASKS)
                    .mapToObj(n -> CompletableFuture.runAsync(() -> task.accept(n), threads))
                    .toArray(CompletableFuture[]::new);
            CompletableFuture.allOf(running).join();
        } finally {
            threads.shutdownNow();
        }
    }
}
