package weir.features;

import static weir.Expect.codeOf;
import static weir.Expect.equal;
import static weir.Expect.rejected;
import static weir.Expect.that;

import com.mongodb.ReadPreference;
import com.mongodb.Tag;
import com.mongodb.TagSet;
import com.mongodb.WriteConcern;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.bson.Document;
import weir.Context;

/** Which member serves a read. */
public final class Routing {
    private static final int FAILED_TO_SATISFY_READ_PREFERENCE = 133;
    private static final TagSet EAST = new TagSet(new Tag("region", "east"));
    private static final TagSet NOWHERE = new TagSet(new Tag("region", "nowhere"));

    private Routing() {}

    public static void readPreference(Context context) {
        var name = "read_preference";
        writtenEverywhere(context, name);
        var good = new ArrayList<>(List.of(ReadPreference.secondaryPreferred(), ReadPreference.nearest()));
        if (context.hasSecondaries()) {
            good.add(ReadPreference.secondary());
            good.add(ReadPreference.secondary(EAST));
            good.add(ReadPreference.secondary(List.of(NOWHERE, new TagSet())));
        }
        for (var preference : good) {
            equal("read with " + preference, 3, read(context, name, preference));
        }
        if (context.hasSecondaries()) {
            refusedSoon(context, name);
        }
    }

    private static void refusedSoon(Context context, String name) {
        var began = System.nanoTime();
        var what = "tags that match no member";
        var exception = rejected(what, () -> read(context, name, ReadPreference.secondary(NOWHERE)));
        var took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
        that(took < 3000, what + ": the error came after " + took + " ms");
        if (!context.face().equals("direct")) {
            equal(what + " (" + exception.getMessage() + ")", FAILED_TO_SATISFY_READ_PREFERENCE, codeOf(exception));
        }
    }

    public static void maxStaleness(Context context) {
        var name = "max_staleness";
        writtenEverywhere(context, name);
        equal("read with 90 s", 3,
                read(context, name, ReadPreference.secondaryPreferred(90, TimeUnit.SECONDS)));
        var exception = rejected("read with 1 s",
                () -> read(context, name, ReadPreference.secondaryPreferred(1, TimeUnit.SECONDS)));
        that(exception.getMessage().toLowerCase(Locale.ROOT).contains("staleness"),
                "not about staleness: " + exception.getMessage());
    }

    /** Three documents that every member shows. */
    private static void writtenEverywhere(Context context, String name) {
        var members = new WriteConcern(context.hasSecondaries() ? 3 : 1);
        var things = context.collection(context.client(), name).withWriteConcern(members);
        things.deleteMany(new Document());
        List.of(1, 2, 3).forEach(id -> things.insertOne(new Document("_id", id)));
    }

    private static int read(Context context, String name, ReadPreference preference) {
        var client = context.client(settings ->
                settings.applyToClusterSettings(cluster -> cluster.serverSelectionTimeout(2, TimeUnit.SECONDS)));
        return context.collection(client, name)
                .withReadPreference(preference)
                .find().into(new ArrayList<>()).size();
    }
}
