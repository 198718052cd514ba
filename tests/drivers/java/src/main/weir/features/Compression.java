package weir.features;

import static weir.Expect.equal;
import static weir.Expect.that;

import com.mongodb.client.model.Filters;
import java.util.List;
import org.bson.Document;
import weir.Context;

/** Large documents through one compressor. */
public final class Compression {
    private Compression() {}

    public static void compressed(Context context, String codec) {
        var client = context.clientWithOption("compressors=" + codec);
        // An offer that is not taken up would leave everything uncompressed, and unnoticed.
        var hello = client.getDatabase("admin")
                .runCommand(new Document("hello", 1).append("compression", List.of(codec)));
        var offered = hello.getList("compression", String.class, List.of());
        that(offered.contains(codec), "the other side does not offer " + codec);
        var things = context.collection(client, "compressed_" + codec);
        things.deleteMany(new Document());
        var text = (codec + " ").repeat(1_000_000 / (codec.length() + 1));
        for (var id : List.of(1, 2, 3)) {
            things.insertOne(new Document("_id", id).append("text", text + id));
            that(things.find(Filters.eq(id)).first().getString("text").equals(text + id),
                    "document " + id + " came back changed");
        }
        equal("documents", 3L, things.countDocuments());
    }
}
