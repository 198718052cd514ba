package weir.features;

import static weir.Expect.equal;

import com.mongodb.ClientSessionOptions;
import com.mongodb.ReadConcern;
import com.mongodb.ReadPreference;
import com.mongodb.WriteConcern;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.UpdateOptions;
import com.mongodb.client.model.Updates;
import org.bson.Document;
import weir.Context;

/** What a session promises about what its reads see. */
public final class Consistency {
    private Consistency() {}

    public static void causal(Context context) {
        var client = context.client();
        var preference = context.hasSecondaries() ? ReadPreference.secondaryPreferred() : ReadPreference.primary();
        var things = context.collection(client, "causal")
                .withReadConcern(ReadConcern.MAJORITY)
                .withWriteConcern(WriteConcern.MAJORITY)
                .withReadPreference(preference);
        things.deleteMany(new Document());
        var options = ClientSessionOptions.builder().causallyConsistent(true).build();
        try (var session = client.startSession(options)) {
            for (var n = 0; n < 50; n++) {
                things.updateOne(session, Filters.eq(1), Updates.set("n", n), new UpdateOptions().upsert(true));
                equal("own write read back", new Document("_id", 1).append("n", n),
                        things.find(session, Filters.eq(1)).first());
            }
        }
    }

    public static void snapshot(Context context) {
        var client = context.client();
        var things = context.collection(client, "snapshot").withWriteConcern(WriteConcern.MAJORITY);
        things.deleteMany(new Document());
        things.insertOne(new Document("_id", 1).append("state", "old"));
        var options = ClientSessionOptions.builder().snapshot(true).build();
        try (var session = client.startSession(options)) {
            equal("first read of the session", "old",
                    things.find(session, Filters.eq(1)).first().getString("state"));
            things.updateOne(Filters.eq(1), Updates.set("state", "new"));
            equal("read of the session after the write", "old",
                    things.find(session, Filters.eq(1)).first().getString("state"));
            equal("read outside the session", "new", things.find(Filters.eq(1)).first().getString("state"));
        }
    }
}
