package weir;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import org.bson.Document;

/** Reads the plan from standard input and carries it out. See tests/drivers/README.md. */
public final class Program {
    private Program() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        var plan = Document.parse(new String(System.in.readAllBytes(), StandardCharsets.UTF_8));
        Consumer<Document> say = line -> System.out.println(line.toJson());
        switch (plan.getString("mode")) {
            case "features" -> Features.run(plan, say);
            case "probe" -> Probe.run(plan, say);
            case "connect" -> Connect.run(plan, say);
            case "rolling" -> Rolling.run(plan, say);
            case "load" -> Load.run(plan, say);
            default -> throw new IllegalArgumentException("unknown mode " + plan.getString("mode"));
        }
        // A feature that took too long may have left a thread behind.
        System.exit(0);
    }
}
