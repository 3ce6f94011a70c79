//! Servers of HTTP/3 that know nothing of llb: several copies share a port, a download during a reload is whole, and new
//! connections spread.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Fleet, Stage, stage::fixture, until};
use llb_kit::paths;

const ADDRESS: &str = "127.0.0.1:9443";

/// What the servers pass requests on to: `/N` is answered with so many blocks, one each 100 ms. They are small, as nginx sends no
/// challenge to a client that has moved while more is on its way than it takes the network to hold, which is two packets where
/// processors are few.
const BACKEND: &str = "127.0.0.1:9080";
const BLOCK: usize = 300;
const BLOCK_EVERY: Duration = Duration::from_millis(100);

/// Of a download: it is under way for longer than a reload takes on a machine that is busy. What moves as it ends may be lost with its
/// server, which ends then.
const BLOCKS: usize = 140;

const CADDYFILE: &str = "{
  admin off
  auto_https off
}
https://localhost:9443 {
  bind 127.0.0.1
  tls {$STAGE}/only.pem {$STAGE}/key.pem
  header worker {$WORKER}
  reverse_proxy 127.0.0.1:9080
}
";

/// `WORKER` is the process.
const NGINX_CONF: &str = "daemon off;
error_log stderr;
pid nginx.WORKER.pid;
events {}
http {
  access_log off;
  server {
    listen 127.0.0.1:9443 quic;
    listen 127.0.0.1:9443 ssl;
    ssl_certificate only.pem;
    ssl_certificate_key key.pem;
    location / {
      add_header worker WORKER;
      proxy_pass http://127.0.0.1:9080;
      proxy_buffering off;
    }
  }
}
";

/// `/N` is answered as by [`serve_blocks`].
const APP_PY: &str = "import asyncio, os

async def app(scope, receive, send):
    if scope['type'] != 'http':
        raise NotImplementedError
    headers = [(b'worker', os.environ['WORKER'].encode())]
    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
    for _ in range(int(scope['path'][1:])):
        await send({'type': 'http.response.body', 'body': bytes(BLOCK), 'more_body': True})
        await asyncio.sleep(0.1)
    await send({'type': 'http.response.body'})
";

/// Answers each connection for as long as the test's process lives.
fn serve_blocks() {
    let listener = TcpListener::bind(BACKEND).expect("a free port");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer(stream)))));
}

/// Until the client has gone.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let blocks: usize = lines.next()?.ok()?.split(' ').nth(1)?.strip_prefix('/')?.parse().ok()?;
    lines.find(|line| line.as_ref().map_or(true, String::is_empty))?.ok()?;
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", blocks * BLOCK).ok()?;
    for _ in 0..blocks {
        stream.write_all(&[b'.'; BLOCK]).ok()?;
        thread::sleep(BLOCK_EVERY);
    }
    Some(())
}

/// Clients of one download each.
struct Downloads {
    clients: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Downloads {
    /// All have begun.
    fn begin(connections: u32, blocks: usize) -> Self {
        let mut clients = Command::new("python3");
        clients.env("PYTHONPATH", paths::aioquic()).args([fixture("h3_client.py"), ADDRESS.to_owned()]);
        clients.args([connections.to_string(), format!("/{blocks}")]);
        let mut clients = clients.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("clients");
        let input = clients.stdin.take().expect("a pipe");
        let mut output = BufReader::new(clients.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, "begun\n");
        Downloads { clients, input, output }
    }

    /// All go on from another port: `nat`, and know nothing of it, or on `purpose`.
    fn move_on(&mut self, why: &str) {
        writeln!(self.input, "{why}").expect("clients that read");
    }

    /// All are whole: who served each of them.
    #[track_caller]
    fn end(self, blocks: usize) -> Vec<u32> {
        self.end_with(blocks, 0)
    }

    /// All but so many at the most are whole.
    #[track_caller]
    fn end_with(mut self, blocks: usize, lost: usize) -> Vec<u32> {
        drop(self.input);
        let mut output = String::new();
        self.output.read_to_string(&mut output).expect("text");
        assert!(self.clients.wait().expect("our child").success());
        let whole = |line: &str| {
            let mut words = line.split(' ');
            let is_whole = words.next() == Some("200");
            let worker = words.next()?.parse().ok()?;
            (is_whole && words.next()?.parse() == Ok(blocks * BLOCK)).then_some(worker)
        };
        let workers: Vec<_> = output.lines().filter_map(whole).collect();
        assert!(workers.len() + lost >= output.lines().count(), "{output}");
        workers
    }
}

fn serving(fleet: &Fleet) -> BTreeSet<u32> {
    fleet.status().workers.iter().filter(|worker| worker.state == "serving").map(|worker| worker.pid).collect()
}

/// The command's four copies share the port; downloads are whole through a reload, also where the client's port changes, but for so many that
/// the server itself may lose; and who comes then is served by all of the new ones.
fn serves_through_a_reload(stage: &Stage, args: &[&str], command: &[&str], (why, lost): (&str, usize)) {
    stage.certify();
    serve_blocks();
    let fleet = stage.start(&[&["-n", "4", "-p", "9443", "--drain-timeout", "60s"], args].concat(), command);
    until("all have joined", || fleet.status().udp.is_some_and(|udp| udp.groups.iter().any(|g| g.slots.len() == 4)));
    let old = serving(&fleet);
    let downloads = Downloads::begin(8, BLOCKS);
    let mut moving = Downloads::begin(8, BLOCKS);
    assert!(fleet.command("reload").output().expect("llb reload").status.success());
    let new = serving(&fleet);
    assert!(new.len() == 4 && new.is_disjoint(&old), "{new:?} {old:?}");
    moving.move_on(why);
    let led = || fleet.status().udp.expect("UDP that is shared").datagrams["by_learnt_id"];
    until("all have moved", || led() >= 8);
    // A server gives up a path on which it is not answered in some tenths of a second, and there may be few processors.
    thread::sleep(Duration::from_secs(1));
    until("who comes is served by the new ones", || Downloads::begin(4, 1).end(1).iter().all(|at| new.contains(at)));
    let mut each: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..5 {
        Downloads::begin(20, 1).end(1).into_iter().for_each(|worker| *each.entry(worker).or_default() += 1);
    }
    assert!(each.keys().copied().collect::<BTreeSet<_>>() == new, "{each:?} {new:?} {:?}", fleet.status().udp);
    assert!(each.values().all(|count| (8..60).contains(count)), "{each:?}");
    assert!(downloads.end(BLOCKS).iter().all(|worker| old.contains(worker)));
    assert!(moving.end_with(BLOCKS, lost).iter().all(|worker| old.contains(worker)));
}

#[test]
fn caddy_serves_http3_through_a_reload() {
    let stage = Stage::new();
    stage.write("Caddyfile", CADDYFILE);
    let run = format!(
        "WORKER=$$ XDG_DATA_HOME=$STAGE XDG_CONFIG_HOME=$STAGE exec '{}' run --config $STAGE/Caddyfile --adapter caddyfile",
        paths::caddy().join("bin/caddy").display()
    );
    serves_through_a_reload(&stage, &[], &["sh", "-c", &run], ("nat", 0));
}

/// Its command starts a process that serves, beside one that looks after it.
#[test]
fn hypercorn_serves_http3_through_a_reload() {
    let stage = Stage::new();
    stage.write("app.py", &APP_PY.replace("BLOCK", &BLOCK.to_string()));
    let run = format!(
        "cd $STAGE && WORKER=$$ PYTHONPATH='{}:.' exec python3 -m hypercorn --log-level error --certfile only.pem --keyfile key.pem \
         --bind {ADDRESS} --quic-bind {ADDRESS} app:app",
        paths::aioquic().display()
    );
    serves_through_a_reload(&stage, &[], &["sh", "-c", &run], ("nat", 0));
}

#[test]
fn nginx_serves_http3_through_a_reload() {
    let stage = Stage::new();
    stage.write("nginx.conf", NGINX_CONF);
    let run = format!(
        "sed s/WORKER/$$/ $STAGE/nginx.conf >$STAGE/nginx.$$.conf; exec '{}' -p $STAGE -e stderr -c nginx.$$.conf",
        paths::nginx().join("nginx").display()
    );
    // Its ids begin with the number of its socket, so those that nobody has seen name their worker, too.
    // And where processors are few it gives some up whose datagrams have come to the right worker.
    serves_through_a_reload(&stage, &["--stop-signal", "QUIT"], &["sh", "-c", &run], ("purpose", 4));
}
