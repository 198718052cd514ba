package weir;

import com.mongodb.MongoClientSettings;
import com.mongodb.connection.ServerType;
import com.mongodb.event.CommandListener;
import com.mongodb.event.CommandStartedEvent;
import com.mongodb.event.ConnectionCreatedEvent;
import com.mongodb.event.ConnectionPoolClearedEvent;
import com.mongodb.event.ConnectionPoolListener;
import com.mongodb.event.ServerDescriptionChangedEvent;
import com.mongodb.event.ServerListener;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.bson.BsonDocument;

/** Counts what a client does, from the driver's own events. */
public final class Watched implements CommandListener, ConnectionPoolListener, ServerListener {
    /** A command and the session it went with, which may be null. */
    public record Sent(String name, BsonDocument session) {}

    private final CopyOnWriteArrayList<Sent> commands = new CopyOnWriteArrayList<>();
    private final AtomicInteger created = new AtomicInteger();
    private final AtomicInteger poolCleared = new AtomicInteger();
    private final AtomicInteger unknown = new AtomicInteger();

    /** Makes a client of these settings report here. */
    public void watch(MongoClientSettings.Builder settings) {
        settings.addCommandListener(this)
                .applyToConnectionPoolSettings(pool -> pool.addConnectionPoolListener(this))
                .applyToServerSettings(server -> server.addServerListener(this));
    }

    @Override
    public void commandStarted(CommandStartedEvent event) {
        var session = event.getCommand().getDocument("lsid", null);
        commands.add(new Sent(event.getCommandName(), session == null ? null : session.clone()));
    }

    @Override
    public void connectionCreated(ConnectionCreatedEvent event) {
        created.incrementAndGet();
    }

    @Override
    public void connectionPoolCleared(ConnectionPoolClearedEvent event) {
        poolCleared.incrementAndGet();
    }

    @Override
    public void serverDescriptionChanged(ServerDescriptionChangedEvent event) {
        var before = event.getPreviousDescription().getType();
        if (before != ServerType.UNKNOWN && event.getNewDescription().getType() == ServerType.UNKNOWN) {
            unknown.incrementAndGet();
        }
    }

    /** Starts the list of commands anew. */
    public void forget() {
        commands.clear();
    }

    public List<Sent> commands() {
        return List.copyOf(commands);
    }

    public int count(String name) {
        return (int) commands.stream().filter(sent -> sent.name().equals(name)).count();
    }

    public int created() {
        return created.get();
    }

    public int poolCleared() {
        return poolCleared.get();
    }

    /** How often a known server became Unknown. */
    public int unknown() {
        return unknown.get();
    }
}
