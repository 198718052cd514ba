import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import com.mongodb.client.model.Filters;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.bson.Document;

/** A function as teams write it: one client, made when the class is loaded. */
public class App implements RequestHandler<Map<String, Object>, Map<String, Object>> {
  private static final String URI = System.getenv("MONGO_AUTH_CREDENTIALS");
  private static final MongoClient CLIENT = MongoClients.create(URI);
  private static final MongoCollection<Document> THINGS =
      CLIENT.getDatabase("lambda_functions").getCollection("java");

  @Override
  public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
    long began = System.nanoTime();
    Object mark = event.get("mark");
    Map<String, Object> answer = new HashMap<>();
    answer.put("uri", URI);
    answer.put("pid", ProcessHandle.current().pid());
    if ("many".equals(event.get("do"))) {
      insertMany(((Number) event.get("times")).intValue(), mark);
      answer.put("count", THINGS.countDocuments(Filters.eq("mark", mark)));
    } else if ("count".equals(event.get("do"))) {
      answer.put("count", THINGS.countDocuments(Filters.eq("mark", mark)));
    } else {
      THINGS.insertOne(new Document("request", context.getAwsRequestId()).append("mark", mark));
    }
    answer.put("ms", (System.nanoTime() - began) / 1e6);
    return answer;
  }

  /** As many at once as the driver's pool has connections. */
  private static void insertMany(int times, Object mark) {
    ExecutorService workers = Executors.newFixedThreadPool(100);
    try {
      List<Future<?>> all = new ArrayList<>();
      for (int n = 0; n < times; n++) {
        Document document = new Document("n", n).append("mark", mark);
        all.add(workers.submit(() -> THINGS.insertOne(document)));
      }
      for (Future<?> one : all) {
        one.get();
      }
    } catch (Exception error) {
      throw new IllegalStateException(error);
    } finally {
      workers.shutdown();
    }
  }
}
