package weir;

import com.mongodb.ConnectionString;
import com.mongodb.MongoClientSettings;
import com.mongodb.MongoException;
import com.mongodb.MongoSocketException;
import com.mongodb.client.ClientSession;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Updates;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.bson.Document;

/** One operation per case, and what the driver made of what happened to it. */
final class Probe {
    private static final long LIMIT_SECONDS = 25;

    /** The command that a class counts, and its operation. */
    private record Operation(String counts, Consumer<Probe> run) {}

    private static final Map<String, Operation> CLASSES = Map.of(
            "RD", new Operation("find", probe -> probe.things.find().first()),
            "RW", new Operation("insert", probe -> probe.things.insertOne(new Document("n", 1))),
            "NW", new Operation("update", probe -> probe.things.updateMany(new Document(), Updates.inc("n", 1))),
            "TX", new Operation("update", probe -> probe.byHand(probe::update, ClientSession::commitTransaction)),
            "TXW", new Operation("insert", Probe::convenient),
            "CM", new Operation("commitTransaction",
                    probe -> probe.byHand(session -> {}, ClientSession::commitTransaction)),
            "CMW", new Operation("commitTransaction", Probe::convenient),
            "AB", new Operation("abortTransaction",
                    probe -> probe.byHand(session -> {}, ClientSession::abortTransaction)),
            "GM", new Operation("getMore", Probe::fiveDocuments),
            "CS", new Operation("aggregate", Probe::threeEvents));

    private final MongoClient client;
    private final MongoCollection<Document> things;
    private final AtomicInteger bodies = new AtomicInteger();

    private Probe(MongoClient client, String database) {
        this.client = client;
        things = client.getDatabase(database).getCollection("probe");
    }

    private void update(ClientSession session) {
        things.updateOne(session, new Document(), Updates.inc("n", 1));
    }

    private void byHand(Consumer<ClientSession> statements, Consumer<ClientSession> end) {
        try (var session = client.startSession()) {
            session.startTransaction();
            things.insertOne(session, new Document("n", 1));
            statements.accept(session);
            end.accept(session);
        }
    }

    private void convenient() {
        try (var session = client.startSession()) {
            session.withTransaction(() -> {
                bodies.incrementAndGet();
                return things.insertOne(session, new Document("n", 1));
            });
        }
    }

    private void fiveDocuments() {
        var found = things.find().batchSize(2).into(new ArrayList<>());
        Expect.equal("documents", 5, found.size());
    }

    private void threeEvents() {
        try (var events = things.watch().cursor()) {
            for (var read = 0; read < 3; read++) {
                events.next();
            }
        }
    }

    static void run(Document plan, Consumer<Document> say) {
        for (var each : plan.getList("cases", Document.class)) {
            say.accept(runCase(each));
        }
    }

    private static Document runCase(Document wanted) {
        var uri = new ConnectionString(wanted.getString("uri"));
        var seen = new Watched();
        var settings = MongoClientSettings.builder().applyConnectionString(uri);
        seen.watch(settings);
        var operation = CLASSES.get(wanted.getString("class"));
        var threads = Executors.newSingleThreadExecutor();
        try (var client = MongoClients.create(settings.build())) {
            var probe = new Probe(client, Objects.requireNonNullElse(uri.getDatabase(), "test"));
            var began = System.nanoTime();
            var running = threads.submit(() -> operation.run().accept(probe));
            Throwable error = null;
            try {
                running.get(LIMIT_SECONDS, TimeUnit.SECONDS);
            } catch (ExecutionException failed) {
                error = failed.getCause();
            } catch (TimeoutException | InterruptedException late) {
                error = new IllegalStateException("took longer than 25 s");
            }
            return new Document("id", wanted.getString("id"))
                    .append("outcome", error == null ? "ok" : "error")
                    .append("attempts", seen.count(operation.counts()))
                    .append("bodies", probe.bodies.get())
                    .append("code", Expect.codeOf(error))
                    .append("labels", labelsOf(error))
                    .append("network", error instanceof MongoSocketException)
                    .append("poolCleared", seen.poolCleared())
                    .append("unknown", seen.unknown())
                    .append("ms", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began))
                    .append("message", error == null ? "" : String.valueOf(error.getMessage()));
        } finally {
            threads.shutdownNow();
        }
    }

    private static List<String> labelsOf(Throwable error) {
        return error instanceof MongoException exception
                ? List.copyOf(new TreeSet<>(exception.getErrorLabels()))
                : List.of();
    }
}
