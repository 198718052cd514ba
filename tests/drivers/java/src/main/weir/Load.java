package weir;

import com.mongodb.ConnectionString;
import com.mongodb.MongoClientSettings;
import com.mongodb.MongoException;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.MongoDatabase;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Sorts;
import com.mongodb.client.model.Updates;
import com.mongodb.client.result.UpdateResult;
import com.mongodb.event.ConnectionCreatedEvent;
import com.mongodb.event.ConnectionPoolClearedEvent;
import com.mongodb.event.ConnectionPoolListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import org.bson.Document;
import org.bson.conversions.Bson;

/** Seven classes of work, again and again, and what the application saw of each operation. */
final class Load {
    /** After the stop an operation may still take so long; then it counts as never answered. */
    private static final long PATIENCE_MS = 45_000;
    private static final int ROWS = 50;
    private static final int MESSAGE = 200;

    /** An operation of a worker; it knows its number. */
    private record Work(boolean counted, IntConsumer operate) {}

    private record Running(Document line, long began) {}

    private final Document plan;
    private final Consumer<Document> say;
    private final Path stop;
    private final MongoClient client;
    private final MongoDatabase database;
    private final MongoCollection<Document> rows;
    private final MongoCollection<Document> counters;
    private final Map<String, Running> running = new ConcurrentHashMap<>();

    private Load(Document plan, Consumer<Document> say) {
        this.plan = plan;
        this.say = say;
        stop = Path.of(plan.getString("stop"));
        var settings = MongoClientSettings.builder()
                .applyConnectionString(new ConnectionString(plan.getString("uri")))
                .applyToConnectionPoolSettings(pool -> pool.addConnectionPoolListener(new Told()));
        client = MongoClients.create(settings.build());
        database = client.getDatabase(plan.getString("database"));
        rows = database.getCollection("rows");
        counters = database.getCollection("counters");
    }

    /** Connections made and pools cleared. */
    private final class Told implements ConnectionPoolListener {
        @Override
        public void connectionCreated(ConnectionCreatedEvent event) {
            tell("created");
        }

        @Override
        public void connectionPoolCleared(ConnectionPoolClearedEvent event) {
            tell("cleared");
        }

        private void tell(String what) {
            say.accept(new Document("pool", what).append("at", System.currentTimeMillis()));
        }
    }

    static void run(Document plan, Consumer<Document> say) throws InterruptedException {
        new Load(plan, say).run();
    }

    private void run() throws InterruptedException {
        var threads = new ArrayList<Thread>();
        for (var kind : plan.getList("classes", String.class)) {
            for (var number = 0; number < plan.getInteger("workers"); number++) {
                var worker = number;
                threads.add(new Thread(() -> labour(kind, worker)));
            }
        }
        for (var thread : threads) {
            thread.setDaemon(true);
            thread.start();
        }
        while (!stopped()) {
            Thread.sleep(50);
        }
        var end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        for (var thread : threads) {
            // Zero would mean for ever.
            thread.join(Math.max(1, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())));
        }
        for (var left : running.values()) {
            var line = new Document(left.line()).append("error", "no answer");
            say.accept(line.append("ms", millisSince(left.began())));
        }
    }

    private boolean stopped() {
        return Files.exists(stop);
    }

    private void pause() {
        try {
            Thread.sleep(plan.getInteger("pause_ms"));
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private static double millisSince(long began) {
        return (System.nanoTime() - began) / 1e6;
    }

    private void labour(String kind, int worker) {
        var work = work(kind, worker);
        var key = kind + "-" + worker;
        for (var number = 1; !stopped(); number++) {
            var line = new Document("class", kind).append("at", System.currentTimeMillis()).append("error", null);
            if (work.counted()) {
                line.append("counter", counter(kind, worker, number)).append("number", number);
            }
            var began = System.nanoTime();
            running.put(key, new Running(line, began));
            var said = new Document(line);
            try {
                work.operate().accept(number);
            } catch (MongoException | Wrong error) {
                var message = String.valueOf(error.getMessage());
                said.append("error", described(error))
                        .append("message", message.substring(0, Math.min(MESSAGE, message.length())));
            }
            said.append("ms", millisSince(began));
            running.remove(key);
            say.accept(said);
            pause();
        }
    }

    /** What an application sees: the driver's name for it and the server's code. */
    private static String described(RuntimeException error) {
        var code = Expect.codeOf(error);
        return error.getClass().getSimpleName() + (code == null ? "" : " " + code);
    }

    private String counter(String kind, int worker, int number) {
        var counters = plan.getInteger("counters");
        return plan.getString("name") + "-" + kind + "-" + worker + "-" + number % counters;
    }

    private static Bson change(int number) {
        return Updates.combine(Updates.inc("n", 1), Updates.push("applied", number));
    }

    private Work work(String kind, int worker) {
        return switch (kind) {
            case "PR" -> reading(this::readPlainly);
            case "RD" -> reading(number -> one(rows.find(row(number)).first()));
            case "RW" -> writing(number -> matched(counters.updateOne(which(kind, worker, number), change(number))));
            case "NW" -> writing(number -> matched(counters.updateMany(which(kind, worker, number), change(number))));
            case "TX" -> writing(number -> transact(which(kind, worker, number), number));
            case "CU" -> reading(number -> readAll());
            case "CS" -> {
                var name = "events-" + plan.getString("name") + "-" + worker;
                yield reading(new LoadStream(database.getCollection(name))::passOn);
            }
            default -> throw new IllegalArgumentException("unknown class " + kind);
        };
    }

    private static Work reading(IntConsumer operate) {
        return new Work(false, operate);
    }

    private static Work writing(IntConsumer operate) {
        return new Work(true, operate);
    }

    private static Bson row(int number) {
        return Filters.eq("_id", number % ROWS);
    }

    private Bson which(String kind, int worker, int number) {
        return Filters.eq("_id", counter(kind, worker, number));
    }

    /** A read that the driver does not retry. */
    private void readPlainly(int number) {
        var find = new Document("find", "rows")
                .append("filter", new Document("_id", number % ROWS))
                .append("singleBatch", true);
        var batch = database.runCommand(find).get("cursor", Document.class).getList("firstBatch", Document.class);
        if (batch.size() != 1) {
            throw new Wrong("found " + batch);
        }
    }

    private void transact(Bson which, int number) {
        try (var session = client.startSession()) {
            session.withTransaction(() -> {
                one(rows.find(session, row(number)).first());
                return matched(counters.updateOne(session, which, change(number)));
            });
        }
    }

    private void readAll() {
        var seen = 0;
        try (var cursor = rows.find().batchSize(10).sort(Sorts.ascending("_id")).cursor()) {
            while (cursor.hasNext()) {
                var id = cursor.next().getInteger("_id");
                if (id != seen) {
                    throw new Wrong("row " + id + " instead of " + seen);
                }
                seen++;
                if (seen % 10 == 0) {
                    pause();
                }
            }
        }
        if (seen != ROWS) {
            throw new Wrong(seen + " rows");
        }
    }

    private static void one(Document found) {
        if (found == null) {
            throw new Wrong("found nothing");
        }
    }

    private static UpdateResult matched(UpdateResult result) {
        if (result.getMatchedCount() != 1) {
            throw new Wrong("matched " + result.getMatchedCount());
        }
        return result;
    }

    /** An answer that cannot be right. */
    static final class Wrong extends RuntimeException {
        Wrong(String what) {
            super(what);
        }
    }
}
