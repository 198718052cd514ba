package weir;

import com.mongodb.MongoException;
import com.mongodb.client.MongoChangeStreamCursor;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.changestream.ChangeStreamDocument;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.bson.BsonDocument;
import org.bson.Document;

/** Inserts numbered documents and waits for the event of each: none is lost, none comes twice. */
final class LoadStream {
    /** An event that has not come by then is lost. */
    private static final long EVENT_LIMIT_S = 60;

    private final MongoCollection<Document> things;
    private MongoChangeStreamCursor<ChangeStreamDocument<Document>> stream;
    private BsonDocument token;
    private int last;
    private final TreeSet<Integer> awaited = new TreeSet<>();

    LoadStream(MongoCollection<Document> things) {
        this.things = things;
    }

    void passOn(int number) {
        if (stream == null) {
            open();
        }
        things.insertOne(new Document("_id", number));
        awaited.add(number);
        var end = System.nanoTime() + TimeUnit.SECONDS.toNanos(EVENT_LIMIT_S);
        while (last < number) {
            if (!look() && System.nanoTime() > end) {
                throw new Load.Wrong("event " + number + " was lost");
            }
        }
    }

    private void open() {
        var watch = things.watch();
        if (token == null) {
            awaited.clear();
        } else {
            watch.resumeAfter(token);
        }
        stream = watch.cursor();
    }

    private boolean look() {
        ChangeStreamDocument<Document> event;
        try {
            event = stream.tryNext();
            if (stream.getResumeToken() != null) {
                token = stream.getResumeToken();
            }
        } catch (MongoException error) {
            // The driver has resumed what it can; the next operation begins where this one was.
            stream.close();
            stream = null;
            throw error;
        }
        if (event == null) {
            return false;
        }
        note(event.getDocumentKey().getInt32("_id").getValue());
        return true;
    }

    private void note(int seen) {
        if (seen <= last) {
            throw new Load.Wrong("event " + seen + " came twice");
        }
        last = seen;
        awaited.remove(seen);
        if (!awaited.isEmpty() && awaited.first() < seen) {
            throw new Load.Wrong("event " + awaited.first() + " was lost");
        }
    }
}
