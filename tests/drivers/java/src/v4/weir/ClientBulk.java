package weir;

import com.mongodb.MongoNamespace;
import com.mongodb.client.MongoClient;
import java.util.List;

/** The client's bulkWrite, which this driver does not have. */
public final class ClientBulk {
    public static final boolean AVAILABLE = false;

    private ClientBulk() {}

    public static List<Long> write(MongoClient client, MongoNamespace one, MongoNamespace two) {
        throw new UnsupportedOperationException("it came with driver 5.3");
    }
}
