package weir.features;

import static weir.Expect.equal;

import com.mongodb.client.gridfs.GridFSBuckets;
import com.mongodb.client.model.Filters;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Random;
import weir.Context;

/** A file up and down. */
public final class GridFs {
    private GridFs() {}

    public static void gridFs(Context context) throws NoSuchAlgorithmException {
        var database = context.database(context.client());
        var files = GridFSBuckets.create(database, "files");
        var content = new byte[3 << 20];
        new Random().nextBytes(content);

        var id = files.uploadFromStream("first", new ByteArrayInputStream(content));
        var byId = new ByteArrayOutputStream();
        files.downloadToStream(id, byId);
        equal("hash by id", hash(content), hash(byId.toByteArray()));
        files.rename(id, "second");
        var byName = new ByteArrayOutputStream();
        files.downloadToStream("second", byName);
        equal("hash by name", hash(content), hash(byName.toByteArray()));
        files.delete(id);
        equal("files after the deletion", null, files.find(Filters.eq(id)).first());
        equal("chunks after the deletion", 0L,
                database.getCollection("files.chunks").countDocuments(Filters.eq("files_id", id)));
    }

    private static String hash(byte[] content) throws NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    }
}
