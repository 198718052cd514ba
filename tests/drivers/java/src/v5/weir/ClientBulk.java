package weir;

import com.mongodb.MongoNamespace;
import com.mongodb.client.MongoClient;
import com.mongodb.client.model.Filters;
import com.mongodb.client.model.Updates;
import com.mongodb.client.model.bulk.ClientNamespacedWriteModel;
import com.mongodb.client.model.bulk.ClientUpdateOneOptions;
import java.util.List;
import org.bson.Document;

/** The client's bulkWrite, which came with driver 5.3. */
public final class ClientBulk {
    public static final boolean AVAILABLE = true;

    private ClientBulk() {}

    /** Inserts {@code {_id: 1}} into both and sets x in the second: documents inserted, modified. */
    public static List<Long> write(MongoClient client, MongoNamespace one, MongoNamespace two) {
        var done = client.bulkWrite(List.of(
                ClientNamespacedWriteModel.insertOne(one, new Document("_id", 1)),
                ClientNamespacedWriteModel.insertOne(two, new Document("_id", 1)),
                ClientNamespacedWriteModel.updateOne(two, Filters.eq("_id", 1), Updates.set("x", 1),
                        ClientUpdateOneOptions.clientUpdateOneOptions())));
        return List.of(done.getInsertedCount(), done.getModifiedCount());
    }
}
