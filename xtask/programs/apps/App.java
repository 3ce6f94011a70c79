import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** Java's own HTTP server: /ms/N answers after N ms, /stream/N sends N parts, one each half second. */
class App {
    public static void main(String[] args) throws Exception {
        if (new java.io.File(System.getenv("STAGE") + "/broken").exists()) throw new Exception("this code is broken");
        var server = HttpServer.create(
            new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), 128);
        server.setExecutor(Executors.newFixedThreadPool(32));
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            var words = exchange.getRequestURI().getPath().replaceFirst("^/", "").split("/");
            try (var out = exchange.getResponseBody()) {
                int number = words.length == 2 ? Integer.parseInt(words[1]) : 0;
                if (words[0].equals("stream")) {
                    exchange.sendResponseHeaders(200, 0);
                    for (; number > 0; number--) {
                        out.write("part\n".getBytes());
                        out.flush();
                        Thread.sleep(500);
                    }
                    out.write("end\n".getBytes());
                } else {
                    Thread.sleep(number);
                    var body = String.valueOf(System.getenv("WORKER_ID")).getBytes();
                    exchange.sendResponseHeaders(200, body.length);
                    out.write(body);
                }
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        });
        server.start();
    }
}
