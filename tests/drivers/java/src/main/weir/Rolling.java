package weir;

import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.bson.Document;

/** Work until a file appears: what a rolling replacement must not be noticed by. */
final class Rolling {
    private static final long PAUSE_MS = 5;

    private final String name;
    private final MongoClient client;
    private final MongoCollection<Document> things;
    private final MongoCollection<Document> counters;
    private final MongoCollection<Document> pairs;
    private final Document line;

    private Rolling(String name, MongoClient client, String database, Document line) {
        this.name = name;
        this.client = client;
        this.line = line;
        var db = client.getDatabase(database);
        things = db.getCollection("things");
        counters = db.getCollection("counters");
        pairs = db.getCollection("pairs");
    }

    static void run(Document plan, Consumer<Document> say) throws InterruptedException {
        var stop = Path.of(plan.getString("stop"));
        var threads = new ArrayList<Thread>();
        var clients = new ArrayList<MongoClient>();
        var lines = new ArrayList<Document>();
        for (var target : plan.getList("targets", Document.class)) {
            var client = MongoClients.create(target.getString("uri"));
            var line = new Document("target", target.getString("name"))
                    .append("operations", 0).append("errors", new Document()).append("slowestMs", 0L)
                    .append("inserted", 0).append("increments", 0).append("many", 0).append("pairs", 0);
            for (var number = 0; number < plan.getInteger("workers"); number++) {
                var name = target.getString("name") + "-" + number;
                var load = new Rolling(name, client, plan.getString("database"), line);
                threads.add(new Thread(() -> load.work(stop)));
            }
            clients.add(client);
            lines.add(line);
        }
        threads.forEach(Thread::start);
        for (var thread : threads) {
            thread.join();
        }
        clients.forEach(MongoClient::close);
        lines.forEach(say);
    }

    private void work(Path stop) {
        var counter = Filters.eq("_id", name);
        counters.insertOne(new Document("_id", name).append("one", new ArrayList<>()).append("many", new ArrayList<>()));
        for (var n = 0; !Files.exists(stop); n++) {
            var number = n;
            var which = name + "-" + n;
            attempt("insert", () -> things.insertOne(new Document("_id", which)), "inserted", 1);
            attempt("find", () -> find(which), null, 0);
            attempt("update", () -> counters.updateOne(counter, Updates.push("one", number)), "increments", 1);
            switch (n % 3) {
                case 0 -> attempt("updateMany", () -> counters.updateMany(counter, Updates.push("many", number)), "many", 1);
                case 1 -> attempt("cursor", this::batches, null, 0);
                default -> attempt("transaction", () -> pair(which), "pairs", 2);
            }
            pause();
        }
    }

    private static void pause() {
        try {
            Thread.sleep(PAUSE_MS);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    /** Tries one operation; whatever it throws, the application saw it. */
    private void attempt(String what, Runnable work, String counts, int by) {
        var start = System.nanoTime();
        String error = null;
        try {
            work.run();
        } catch (RuntimeException caught) {
            var text = what + ": " + caught.getClass().getSimpleName() + ": " + caught.getMessage();
            // A dot would make a path of it.
            error = text.replace('.', '_').substring(0, Math.min(300, text.length()));
        }
        var took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
        synchronized (line) {
            line.merge("operations", 1, (a, b) -> (int) a + (int) b);
            line.merge("slowestMs", took, (a, b) -> Math.max((long) a, (long) b));
            if (error != null) {
                line.get("errors", Document.class).merge(error, 1, (a, b) -> (int) a + (int) b);
            } else if (counts != null) {
                line.merge(counts, by, (a, b) -> (int) a + (int) b);
            }
        }
    }

    private void find(String which) {
        if (things.find(Filters.eq("_id", which)).first() == null) {
            throw new IllegalStateException("not found");
        }
    }

    private void batches() {
        var found = things.find().limit(7).batchSize(2).into(new ArrayList<>());
        if (found.size() > 7) {
            throw new IllegalStateException("too many");
        }
    }

    private void pair(String which) {
        try (var session = client.startSession()) {
            session.withTransaction(() -> {
                pairs.insertOne(session, new Document("_id", which + "-a"));
                return pairs.insertOne(session, new Document("_id", which + "-b"));
            });
        }
    }
}
