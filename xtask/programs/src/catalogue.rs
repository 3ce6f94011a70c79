//! The programs: how each is started, what it speaks, and what it can be asked for.

use crate::program::{Program, Source, Speaks};

const HTTP: Program = Program {
    name: "",
    source: Source::Pip,
    package: "",
    speaks: Speaks::Http,
    command: "",
    flags: &[],
    files: &[],
    breaks: true,
    recycles: None,
    helps: "",
    own_losses: None,
    few: false,
};

const FILES: Program = Program { speaks: Speaks::Files, breaks: false, ..HTTP };

const fn lines(greeting: &'static [u8], ask: &'static [u8], answer: &'static [u8]) -> Program {
    Program { speaks: Speaks::Lines { greeting, ask, answer }, breaks: false, ..HTTP }
}

/// All of them.
pub(crate) fn catalogue() -> Vec<Program> {
    let mut programs = python();
    programs.extend(javascript());
    programs.extend(ruby_php());
    programs.extend(compiled());
    programs.extend(servers_of_files());
    programs.extend(others());
    programs
}

fn python() -> Vec<Program> {
    vec![
        Program {
            name: "uvicorn",
            helps: "`--limit-max-requests-jitter`, if there is a limit: the workers reach it one after the other",
            own_losses: Some(
                "when its limit of requests is reached, it closes the connections that it has just accepted, unread; six ends of it without llb reset 11 of 1,263",
            ),
            package: "uvicorn",
            command: "{venv}/bin/uvicorn --host 127.0.0.1 --port 8080 --log-level warning app:asgi",
            recycles: Some(
                "{venv}/bin/uvicorn --host 127.0.0.1 --port 8080 --log-level warning --limit-max-requests 300 --limit-max-requests-jitter 300 app:asgi",
            ),
            few: true,
            ..HTTP
        },
        Program {
            name: "gunicorn, sync",
            helps: "`-w 1`: llb has the workers, and gunicorn's one serves one request at a time",
            package: "gunicorn",
            command: "{venv}/bin/gunicorn -b 127.0.0.1:8080 -w 1 --log-level error app:wsgi",
            few: true,
            ..HTTP
        },
        Program {
            name: "gunicorn, gthread",
            helps: "`--threads`: requests of one worker at the same time",
            package: "gunicorn",
            command: "{venv}/bin/gunicorn -b 127.0.0.1:8080 -w 1 -k gthread --threads 8 --log-level error app:wsgi",
            ..HTTP
        },
        Program {
            name: "gunicorn, asgi",
            package: "gunicorn",
            command: "{venv}/bin/gunicorn -b 127.0.0.1:8080 -w 1 -k asgi --log-level error app:asgi",
            ..HTTP
        },
        Program {
            name: "gunicorn, uvicorn worker",
            package: "uvicorn-worker",
            command: "{venv}/bin/gunicorn -b 127.0.0.1:8080 -w 1 -k uvicorn_worker.UvicornWorker --log-level error app:asgi",
            ..HTTP
        },
        Program {
            name: "hypercorn",
            helps: "`--graceful-timeout 10`, no longer than `--drain-timeout`: its own 3 s cut streams",
            own_losses: Some("a stream is cut 3 s after it was asked to end (`--graceful-timeout`)"),
            package: "hypercorn",
            command: "{venv}/bin/hypercorn --bind 127.0.0.1:8080 --log-level error app:asgi",
            few: true,
            ..HTTP
        },
        Program {
            name: "granian",
            package: "granian",
            command: "{venv}/bin/granian --interface asgi --host 127.0.0.1 --port 8080 --no-log app:asgi",
            ..HTTP
        },
        Program {
            name: "waitress",
            package: "waitress",
            command: "{venv}/bin/waitress-serve --listen 127.0.0.1:8080 --threads 8 app:wsgi",
            ..HTTP
        },
        Program { name: "aiohttp", package: "aiohttp", command: "{venv}/bin/python aiohttp_app.py", few: true, ..HTTP },
        Program { name: "Flask", package: "flask", command: "{venv}/bin/python flask_app.py", ..HTTP },
        Program {
            name: "Django on waitress",
            package: "django",
            command: "{venv}/bin/waitress-serve --listen 127.0.0.1:8080 --threads 8 django_app:application",
            ..HTTP
        },
        Program { name: "Tornado", package: "tornado", command: "{venv}/bin/python tornado_app.py", ..HTTP },
        Program { name: "Sanic", package: "sanic", command: "{venv}/bin/python sanic_app.py", ..HTTP },
        Program { name: "gevent", package: "gevent", command: "{venv}/bin/python gevent_app.py", ..HTTP },
        Program {
            name: "Twisted",
            package: "twisted",
            command: "env PYTHONPATH=. {venv}/bin/twistd --pidfile= --nodaemon --logfile /dev/null web --wsgi app.wsgi --listen tcp:8080:interface=127.0.0.1",
            ..HTTP
        },
        Program {
            name: "uWSGI",
            helps: "`--die-on-term`: by SIGTERM it begins anew, and so is killed when its time is over",
            package: "pyuwsgi",
            command: "{venv}/bin/uwsgi --http-socket 127.0.0.1:8080 --disable-logging --log-5xx --enable-threads --threads 8 --so-keepalive --master --need-app --module app:wsgi",
            ..HTTP
        },
    ]
}

fn javascript() -> Vec<Program> {
    const NODE: Program = Program { source: Source::Npm, ..HTTP };
    const RUNTIME: Program = Program { source: Source::Runtime, ..HTTP };
    vec![
        Program {
            name: "Node",
            helps: "`llb run --stop-signal TERM`, once it has a handler as in the next line",
            package: "node",
            command: "node http.js",
            few: true,
            ..NODE
        },
        Program {
            name: "Node, with a SIGTERM handler",
            helps: "`llb run --stop-signal TERM`: llb leaves its connections to its own handler",
            package: "node",
            command: "node http.js graceful",
            ..NODE
        },
        Program { name: "Express", package: "express", command: "node express_app.js", few: true, ..NODE },
        Program {
            name: "Fastify",
            helps: "`fastify({ return503OnClosing: false })`",
            own_losses: Some(
                "while it closes, it answers 503 on the connections that are kept, unless `return503OnClosing` is false",
            ),
            package: "fastify",
            command: "node fastify_app.js",
            ..NODE
        },
        Program {
            name: "Bun",
            package: "@oven/bun-linux-x64",
            command: "{runtimes}/@oven/bun-linux-x64/bin/bun fetch.js",
            ..RUNTIME
        },
        Program {
            name: "Deno",
            package: "@deno/linux-x64-glibc",
            command: "{runtimes}/@deno/linux-x64-glibc/deno run --quiet --allow-all --no-lock fetch.js",
            ..RUNTIME
        },
        Program { name: "socket.io", package: "socket.io", command: "node socketio_app.js", ..NODE },
        Program {
            name: "npm start",
            helps: "`node` in its place, one process less for each worker",
            own_losses: Some(
                "without llb npm ends at once by SIGTERM, and `node` behind its shell hears nothing: it is left to whoever kills it, with what it has. llb signals what is left of a worker when its first process has ended",
            ),
            package: "npm",
            command: "npm --silent start",
            ..NODE
        },
    ]
}

fn ruby_php() -> Vec<Program> {
    vec![
        Program {
            name: "Puma",
            helps: "`-t 8:8`: all threads from the start", package: "puma",
            source: Source::Apt(&["puma"]),
            command: "puma --silent -b tcp://127.0.0.1:8080 -t 8:8 config.ru",
            few: true,
            ..HTTP
        },
        Program {
            name: "Unicorn",
            helps: "`--stop-signal QUIT`: TERM drops what it has", package: "unicorn",
            source: Source::Apt(&["unicorn"]),
            command: "unicorn -l 127.0.0.1:8080 config.ru",
            flags: &["--stop-signal", "QUIT"],
            ..HTTP
        },
        Program {
            name: "Starman",
            helps: "`--stop-signal QUIT`: it takes no time beyond that of its requests",
            package: "starman",
            source: Source::Apt(&["starman"]),
            command: "starman --listen 127.0.0.1:8080 --workers 8 app.psgi",
            flags: &["--stop-signal", "QUIT"],
            ..HTTP
        },
        Program {
            name: "php -S",
            package: "php-cli",
            source: Source::Apt(&["php-cli"]),
            command: "php -q -S 127.0.0.1:8080 index.php",
            // A broken page is answered with 500; the server starts all the same.
            breaks: false,
            ..HTTP
        },
        Program {
            name: "php-fpm behind nginx",
            helps: "`--stop-signal QUIT`: nginx finishes, and php-fpm ends after it",
            package: "php-fpm",
            source: Source::Apt(&["php-fpm", "nginx-light"]),
            command: "sh fpm.sh",
            files: &[
                (
                    "fpm.sh",
                    "id=$LLB_SLOT.$LLB_GENERATION
sed s/ID/$id/ fpm.conf >fpm.$id; sed s/ID/$id/ nginx.conf >nginx.$id
$(ls /usr/sbin/php-fpm* | head -1) -F -R -y {stage}/fpm.$id &
until [ -S $id.sock ]; do sleep 0.05; done
exec nginx -e stderr -c {stage}/nginx.$id",
                ),
                (
                    "fpm.conf",
                    "[global]
daemonize = no
error_log = /dev/stderr
[www]
user = root
listen = {stage}/ID.sock
pm = static
pm.max_children = 8
clear_env = no",
                ),
                (
                    "nginx.conf",
                    "daemon off; user root; worker_processes 1; pid {stage}/nginx.ID.pid; error_log stderr;
events {} http { access_log off; server { listen 127.0.0.1:8080; location / {
fastcgi_pass unix:{stage}/ID.sock; fastcgi_buffering off; fastcgi_param SCRIPT_FILENAME {stage}/index.php;
fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri; fastcgi_param CONTENT_LENGTH $content_length; } } }",
                ),
            ],
            flags: &["--stop-signal", "QUIT"],
            breaks: false,
            ..HTTP
        },
    ]
}

fn compiled() -> Vec<Program> {
    vec![
        Program { name: "Go net/http", package: "go", source: Source::Go, command: "{built}/app", few: true, ..HTTP },
        Program {
            name: "Go net/http, with Shutdown",
            helps: "`llb run --stop-signal TERM`, if it does more at its end than to close connections",
            package: "go",
            source: Source::Go,
            command: "{built}/app graceful",
            ..HTTP
        },
        Program {
            name: "axum",
            helps: "`with_graceful_shutdown`, and `llb run --stop-signal TERM`, if it does more at its end",
            package: "axum",
            source: Source::Cargo,
            command: "{built}/axum",
            ..HTTP
        },
        Program {
            name: "axum, with graceful shutdown",
            package: "axum",
            source: Source::Cargo,
            command: "{built}/axum graceful",
            ..HTTP
        },
        Program { name: "Actix", package: "actix-web", source: Source::Cargo, command: "{built}/actix", ..HTTP },
        Program {
            name: "Java's HttpServer",
            package: "java",
            source: Source::Java,
            command: "java -cp {built} App",
            ..HTTP
        },
    ]
}

fn servers_of_files() -> Vec<Program> {
    const LIGHTTPD: &str = "its graceful end, by SIGINT, closes its side of each connection that is kept, and then reads and throws away what \
        came on it meanwhile: 28 requests of 23,368 in 120 ends without llb, 11 of 34,258 in 480 with llb and `--stop-signal INT`. With \
        SIGTERM llb closes them first, and they take no request any more: 0 of 43,859 in 192 ends, and 8 that crossed";
    const NGINX: (&str, &str) = (
        "nginx.conf",
        "daemon off; worker_processes 1; pid {stage}/nginx.SLOT.pid; error_log stderr;
events {} http { access_log off; keepalive_timeout 60; server { listen 127.0.0.1:8080; location / { return 200 'SLOT'; } } }",
    );
    vec![
        Program {
            name: "nginx",
            helps: "`--stop-signal QUIT`: TERM drops what it has",
            package: "nginx-light",
            source: Source::Apt(&["nginx-light"]),
            command: "sh -c 'sed s/SLOT/$LLB_SLOT.$LLB_GENERATION/ nginx.conf >n.$LLB_SLOT.$LLB_GENERATION && exec nginx -e stderr -c {stage}/n.$LLB_SLOT.$LLB_GENERATION'",
            files: &[NGINX],
            flags: &["--stop-signal", "QUIT"],
            few: true,
            ..FILES
        },
        Program {
            name: "nginx, without its master",
            helps: "`--stop-signal QUIT`: TERM drops what it has",
            package: "nginx-light",
            source: Source::Apt(&["nginx-light"]),
            command: "sh -c 'sed s/SLOT/$LLB_SLOT.$LLB_GENERATION/ nginx.conf >n.$LLB_SLOT.$LLB_GENERATION && exec nginx -e stderr -g \"master_process off;\" -c {stage}/n.$LLB_SLOT.$LLB_GENERATION'",
            files: &[NGINX],
            flags: &["--stop-signal", "QUIT"],
            ..FILES
        },
        Program {
            name: "Apache",
            helps: "no `--stop-signal WINCH`: its graceful end cuts a kept connection now and then, and llb sees it out first",
            package: "apache2",
            source: Source::Apt(&["apache2"]),
            command: "sh -c 'sed s/SLOT/$LLB_SLOT.$LLB_GENERATION/ apache.conf >a.$LLB_SLOT.$LLB_GENERATION && exec apache2 -D FOREGROUND -f {stage}/a.$LLB_SLOT.$LLB_GENERATION'",
            files: &[(
                "apache.conf",
                "ServerRoot {stage}
ServerName localhost
PidFile {stage}/apache.SLOT.pid
DefaultRuntimeDir {stage}
ErrorLog /dev/stderr
LogLevel error
Listen 127.0.0.1:8080
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
User nobody
Group nogroup
DocumentRoot {stage}
DirectoryIndex package.json
<Directory {stage}>
Require all granted
</Directory>
",
            )],
            ..FILES
        },
        Program {
            name: "lighttpd",
            helps: "no `--stop-signal INT`: see above",
            own_losses: Some(LIGHTTPD),
            package: "lighttpd",
            source: Source::Apt(&["lighttpd"]),
            command: "lighttpd -D -f lighttpd.conf",
            files: &[(
                "lighttpd.conf",
                "server.document-root = \"{stage}\"
server.bind = \"127.0.0.1\"
server.port = 8080
index-file.names = (\"package.json\")",
            )],
            ..FILES
        },
        Program {
            name: "Caddy",
            package: "caddy",
            source: Source::Apt(&["caddy"]),
            command: "caddy run --config Caddyfile --adapter caddyfile",
            files: &[(
                "Caddyfile",
                "{\n admin off\n auto_https off\n}\nhttp://127.0.0.1:8080 {\n bind 127.0.0.1\n respond \"ok\"\n}\n",
            )],
            ..FILES
        },
        Program {
            name: "HAProxy",
            helps: "`--stop-signal USR1`: TERM drops what it has",
            package: "haproxy",
            source: Source::Apt(&["haproxy"]),
            command: "haproxy -db -f haproxy.cfg",
            files: &[(
                "haproxy.cfg",
                "global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout connect 5s
  timeout server 60s
frontend f
  bind 127.0.0.1:8080
  http-request return status 200 content-type text/plain string ok
",
            )],
            flags: &["--stop-signal", "USR1"],
            ..FILES
        },
    ]
}

fn others() -> Vec<Program> {
    vec![
        Program {
            name: "redis",
            package: "redis-server",
            source: Source::Apt(&["redis-server"]),
            command: "redis-server --port 8080 --bind 127.0.0.1 --save '' --loglevel warning",
            ..lines(b"", b"PING\r\n", b"+PONG\r\n")
        },
        Program {
            name: "memcached",
            package: "memcached",
            source: Source::Apt(&["memcached"]),
            command: "memcached -p 8080 -U 0 -l 127.0.0.1 -u nobody",
            ..lines(b"", b"version\r\n", b"VERSION ")
        },
        Program {
            name: "pgbouncer",
            package: "pgbouncer",
            source: Source::Apt(&["pgbouncer"]),
            command: "pgbouncer -q -u nobody pgbouncer.ini",
            files: &[(
                "pgbouncer.ini",
                "[databases]
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = 8080
unix_socket_dir =
auth_type = any
",
            )],
            // An SSLRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html
            ..lines(b"", &[0, 0, 0, 8, 4, 210, 22, 47], b"N")
        },
        Program {
            name: "unbound, over TCP",
            package: "unbound",
            source: Source::Apt(&["unbound"]),
            command: "unbound -d -p -c unbound.conf",
            files: &[(
                "unbound.conf",
                "server:
  interface: 127.0.0.1
  port: 8080
  do-udp: no
  do-ip6: no
  chroot: \"\"
  username: \"\"
  directory: \"{stage}\"
  use-syslog: no
",
            )],
            // The address of localhost, with the length before it: RFC 1035, 4.2.2.
            ..lines(
                b"",
                b"\x00\x1b\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01",
                b"\x00\x2b\x12\x34",
            )
        },
        Program {
            name: "aiosmtpd",
            package: "aiosmtpd",
            command: "{venv}/bin/python smtp_app.py",
            few: true,
            ..lines(b"220 ", b"NOOP\r\n", b"250 ")
        },
    ]
}
