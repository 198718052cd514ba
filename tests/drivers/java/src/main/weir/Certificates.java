package weir;

import com.mongodb.MongoClientSettings;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** {@code tlsCAFile} of a connection string, which this driver leaves to the application. */
final class Certificates {
    private static final Pattern AUTHORITY = Pattern.compile("[?&]tlsCAFile=([^&]+)");

    private Certificates() {}

    static void apply(String uri, MongoClientSettings.Builder settings) {
        var named = AUTHORITY.matcher(uri);
        if (!named.find()) {
            return;
        }
        var file = Path.of(URLDecoder.decode(named.group(1), StandardCharsets.UTF_8));
        try {
            var context = trusting(file);
            settings.applyToSslSettings(tls -> tls.context(context));
        } catch (GeneralSecurityException | IOException exception) {
            throw new IllegalStateException("tlsCAFile " + file, exception);
        }
    }

    private static SSLContext trusting(Path file) throws GeneralSecurityException, IOException {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var content = Files.newInputStream(file)) {
            for (var each : CertificateFactory.getInstance("X.509").generateCertificates(content)) {
                store.setCertificateEntry("authority " + store.size(), each);
            }
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
