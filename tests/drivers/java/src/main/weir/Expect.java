package weir;

import com.mongodb.MongoException;
import java.util.Objects;
import java.util.concurrent.Callable;

/** What a feature says about what it saw. */
public final class Expect {
    private Expect() {}

    /** Something is not as it must be. */
    public static final class Failed extends RuntimeException {
        Failed(String reason) {
            super(reason);
        }
    }

    /** The driver, the server or the face cannot do this. */
    public static final class NotApplicable extends RuntimeException {
        NotApplicable(String reason) {
            super(reason);
        }
    }

    public static RuntimeException notApplicable(String reason) {
        return new NotApplicable(reason);
    }

    public static void that(boolean condition, String otherwise) {
        if (!condition) {
            throw new Failed(otherwise);
        }
    }

    public static void equal(String what, Object expected, Object actual) {
        that(Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
    }

    /** The exception that the action must end with. */
    public static RuntimeException rejected(String what, Callable<?> action) {
        try {
            action.call();
        } catch (RuntimeException exception) {
            return exception;
        } catch (Exception exception) {
            throw new IllegalStateException(exception);
        }
        throw new Failed(what + ": expected an error, got none");
    }

    public static void refused(String what, int code, Callable<?> action) {
        var exception = rejected(what, action);
        equal(what + " (" + exception.getMessage() + ")", code, codeOf(exception));
    }

    /** The code that the server answered with; null: it was no answer of a server. */
    public static Integer codeOf(Throwable error) {
        for (var each = error; each != null; each = each.getCause()) {
            // The driver gives its own exceptions negative codes.
            if (each instanceof MongoException exception && exception.getCode() > 0) {
                return exception.getCode();
            }
        }
        return null;
    }
}
