package weir;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.bson.Document;
import weir.features.Bulk;
import weir.features.Commands;
import weir.features.Compression;
import weir.features.Connecting;
import weir.features.Consistency;
import weir.features.Crud;
import weir.features.Deadlines;
import weir.features.GridFs;
import weir.features.Results;
import weir.features.Retries;
import weir.features.Endpoints;
import weir.features.Routing;
import weir.features.Sessions;
import weir.features.Streams;
import weir.features.Transactions;

/** Every feature by name, and how a list of them is run. */
final class Features {
    private static final long LIMIT_SECONDS = 30;

    /** What one feature does; it ends with an exception when something is not as it must be. */
    @FunctionalInterface
    interface Feature {
        void run(Context context) throws Exception;
    }

    private Features() {}

    /** In the order of tests/drivers/README.md. */
    private static Map<String, Feature> all() {
        var all = new LinkedHashMap<String, Feature>();
        all.put("connect", Connecting::connect);
        all.put("server-api", Connecting::serverApi);
        all.put("server-api-strict", Connecting::serverApiStrict);
        all.put("scram-sha-256", context -> Connecting.login(context, "sha256"));
        all.put("scram-sha-1", context -> Connecting.login(context, "sha1"));
        all.put("crud", Crud::crud);
        all.put("bulk", Bulk::bulk);
        all.put("client-bulk-write", Bulk::clientBulkWrite);
        all.put("out-merge", Results::outMerge);
        all.put("large-results", Results::largeResults);
        all.put("transactions", Transactions::transactions);
        all.put("transaction-retry", Transactions::transactionRetry);
        all.put("with-transaction", Transactions::withTransaction);
        all.put("causal", Consistency::causal);
        all.put("snapshot", Consistency::snapshot);
        all.put("change-stream", Streams::changeStream);
        all.put("gridfs", GridFs::gridFs);
        all.put("retryable-read", Retries::retryableRead);
        all.put("retryable-write", Retries::retryableWrite);
        all.put("read-preference", Routing::readPreference);
        all.put("max-staleness", Routing::maxStaleness);
        all.put("unacknowledged", Endpoints::unacknowledged);
        all.put("tailable", Streams::tailable);
        all.put("exhaust", Streams::exhaust);
        for (var codec : List.of("snappy", "zlib", "zstd")) {
            all.put(codec, context -> Compression.compressed(context, codec));
        }
        all.put("timeout", Deadlines::timeout);
        all.put("tls", context -> Endpoints.crudThrough(context, "tls"));
        all.put("unix", context -> Endpoints.crudThrough(context, "unix"));
        all.put("balanced", Endpoints::balanced);
        all.put("sessions", Sessions::sessions);
        all.put("concurrent", Sessions::concurrent);
        all.put("commands", Commands::commands);
        all.put("pool", Commands::pool);
        return all;
    }

    static void run(Document plan, Consumer<Document> say) {
        var all = all();
        var threads = Executors.newCachedThreadPool();
        var wanted = plan.getList("features", String.class, List.copyOf(all.keySet()));
        dropDatabase(plan, threads);
        for (var name : wanted) {
            say.accept(runOne(name, all.get(name), plan, threads));
        }
        dropDatabase(plan, threads);
    }

    private static void dropDatabase(Document plan, ExecutorService threads) {
        var done = runOne("drop", context -> context.database(context.client()).drop(), plan, threads);
        if (!done.getString("result").equals("pass")) {
            throw new IllegalStateException("the database cannot be dropped: " + done.getString("reason"));
        }
    }

    private static Document runOne(String name, Feature feature, Document plan, ExecutorService threads) {
        var line = new Document("feature", name);
        if (feature == null) {
            return line.append("result", "n/a").append("reason", "the program does not know it");
        }
        var began = System.nanoTime();
        try (var context = new Context(plan)) {
            var running = threads.submit(() -> {
                feature.run(context);
                return null;
            });
            running.get(LIMIT_SECONDS, TimeUnit.SECONDS);
            if (context.note() != null) {
                line.append("reason", context.note());
            }
        } catch (TimeoutException late) {
            return line.append("result", "fail").append("reason", "took longer than 30 s");
        } catch (Exception exception) {
            var reason = reasonOf(exception);
            var result = reason instanceof Expect.NotApplicable ? "n/a" : "fail";
            return line.append("result", result).append("reason", textOf(reason));
        }
        var millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
        return line.append("result", "pass").append("ms", millis);
    }

    private static Throwable reasonOf(Throwable exception) {
        var wrapped = exception instanceof ExecutionException || exception instanceof CompletionException;
        return wrapped && exception.getCause() != null ? reasonOf(exception.getCause()) : exception;
    }

    private static String textOf(Throwable reason) {
        return reason instanceof Expect.Failed || reason instanceof Expect.NotApplicable
                ? reason.getMessage()
                : reason.toString();
    }
}
