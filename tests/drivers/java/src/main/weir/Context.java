package weir;

import com.mongodb.ConnectionString;
import com.mongodb.MongoClientSettings;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.MongoDatabase;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;
import org.bson.Document;

/** What every feature works with: its clients, its database, its fail points. */
public final class Context implements AutoCloseable {
    private final Document plan;
    private final ConcurrentLinkedQueue<MongoClient> clients = new ConcurrentLinkedQueue<>();
    private volatile boolean failPointUsed;
    private volatile String note;

    Context(Document plan) {
        this.plan = plan;
    }

    /** The feature's line says this, also when it passes. */
    public void sayAlso(String note) {
        this.note = note;
    }

    /** What a pass of the feature does not show; null: nothing. */
    String note() {
        return note;
    }

    public String face() {
        return plan.getString("face");
    }

    public boolean hasSecondaries() {
        return plan.getBoolean("secondaries", false);
    }

    public int maxWireVersion() {
        var server = plan.get("server", new Document());
        return server.getInteger("maxWireVersion", 0);
    }

    public String databaseName() {
        return plan.getString("database");
    }

    /** One of the other connection strings; a plan without it cannot have this feature. */
    public String uri(String name) {
        var uri = plan.get("uris", new Document()).getString(name);
        if (uri == null) {
            throw Expect.notApplicable("the plan has no uri \"" + name + "\"");
        }
        return uri;
    }

    public MongoClient client() {
        return client(settings -> {});
    }

    public MongoClient client(Consumer<MongoClientSettings.Builder> configure) {
        return clientOf(plan.getString("uri"), configure);
    }

    /** The plan's own connection string with one more option in it. */
    public MongoClient clientWithOption(String option) {
        var uri = plan.getString("uri");
        var hasPath = uri.substring(uri.indexOf("://") + 3).contains("/");
        var separator = uri.contains("?") ? "&" : hasPath ? "?" : "/?";
        return clientOf(uri + separator + option, settings -> {});
    }

    /** A client that is closed with the feature. Its name is what fail points go by. */
    public MongoClient clientOf(String uri, Consumer<MongoClientSettings.Builder> configure) {
        var settings = MongoClientSettings.builder()
                .applyConnectionString(new ConnectionString(uri))
                .applicationName(databaseName());
        Certificates.apply(uri, settings);
        configure.accept(settings);
        var client = MongoClients.create(settings.build());
        clients.add(client);
        return client;
    }

    public MongoDatabase database(MongoClient client) {
        return client.getDatabase(databaseName());
    }

    public MongoCollection<Document> collection(MongoClient client, String name) {
        return database(client).getCollection(name);
    }

    /** A collection of a new client, known to be empty. */
    public MongoCollection<Document> emptyCollection(String name) {
        var things = collection(client(), name);
        things.deleteMany(new Document());
        return things;
    }

    /** Arms {@code failCommand} once for this program's own clients. */
    public void failCommand(String command, Document data) {
        failPointUsed = true;
        var all = new Document("failCommands", List.of(command)).append("appName", databaseName());
        all.putAll(data);
        configureFailCommand(new Document("mode", new Document("times", 1)).append("data", all));
    }

    private void configureFailCommand(Document how) {
        var command = new Document("configureFailPoint", "failCommand");
        command.putAll(how);
        try (var control = MongoClients.create(plan.getString("uri"))) {
            control.getDatabase("admin").runCommand(command);
        }
    }

    @Override
    public void close() {
        try {
            if (failPointUsed) {
                configureFailCommand(new Document("mode", "off"));
            }
        } finally {
            clients.forEach(MongoClient::close);
        }
    }
}
