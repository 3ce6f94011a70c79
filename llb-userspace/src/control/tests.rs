//! The server, with answers that the test makes.

use std::{
    cell::Cell,
    fs,
    io::{self, BufRead, Write},
    os::unix::net::UnixListener,
    path::Path,
    rc::Rc,
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines as Read},
    net::UnixStream,
    runtime::Builder,
    sync::broadcast,
    task::{LocalSet, spawn_local, yield_now},
    time::timeout,
};

use super::{AnswerWriter, Client, ControlError, Done, Reply, Request, SOCKET, Server, follow};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a server that answers by `answer`, and beside it `test`, which is told where the socket's directory is.
fn serve<T: AsyncFnOnce(&Path)>(
    answer: impl AsyncFn(Request, &mut AnswerWriter<'_>) -> io::Result<()> + Clone + 'static,
    test: T,
) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let server = Server::open(directory.path()).unwrap();
        spawn_local(server.run(answer));
        timeout(DEADLINE, test(directory.path())).await.expect("it takes no longer than 30 s");
    });
}

/// An asker.
struct Asker(Read<BufReader<UnixStream>>);

impl Asker {
    async fn connect(directory: &Path) -> Self {
        let stream = UnixStream::connect(directory.join(SOCKET)).await.unwrap();
        Asker(BufReader::new(stream).lines())
    }

    async fn says(directory: &Path, line: &str) -> Self {
        let mut asker = Asker::connect(directory).await;
        asker.say(line).await;
        asker
    }

    async fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// The next line; empty if there is none.
    async fn hears(&mut self) -> String {
        self.0.next_line().await.unwrap_or_default().unwrap_or_default()
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

#[test]
fn what_is_not_in_the_protocol_is_named() {
    let answer =
        async |_: Request, lines: &mut AnswerWriter<'_>| lines.write(&Done { ok: true, ..Done::default() }).await;
    serve(answer, async |directory| {
        let mut asker = Asker::connect(directory).await;
        for (line, says) in [
            (r#"{"cmd":"dance"}"#, "unknown variant `dance`"),
            (r#"{"cmd":"status","follow":true}"#, "unknown field `follow`"),
            (r#"{"cmd":"stop","now":true}"#, "unknown field `now`"),
            (r#"{"cmd":"reload","max_surg":1}"#, "unknown field `max_surg`"),
            (r#"{"cmd":"scale"}"#, "missing field `workers`"),
            (r#"{"cmd":"scale","workers":-1}"#, "-1"),
            (r#"{"cmd":"drain","slot":"0"}"#, "expected u32"),
            (r#"{"slot":0}"#, "missing field `cmd`"),
        ] {
            asker.say(line).await;
            let answer = asker.hears().await;
            assert!(answer.starts_with(r#"{"error":""#) && answer.contains(says), "{line}: {answer}");
        }
        for line in [r#"{"cmd":"reload"}"#, r#"{"cmd":"reload","rolling":true,"max_surge":2}"#, r#"{"cmd":"status"}"#] {
            asker.say(line).await;
            assert_eq!(asker.hears().await, r#"{"ok":true}"#, "{line}");
        }
    });
}

#[test]
fn a_follower_hears_what_was_and_what_comes_and_how_much_it_has_missed() {
    let (events, _) = broadcast::channel::<u32>(4);
    let told = events.clone();
    let answer = async move |_: Request, lines: &mut AnswerWriter<'_>| {
        follow(lines, vec![1, 2], Some(told.subscribe()), |event| *event == 99).await
    };
    serve(answer, async |directory| {
        let mut follower = Asker::says(directory, r#"{"cmd":"events","follow":true}"#).await;
        assert_eq!((follower.hears().await, follower.hears().await), ("1".into(), "2".into()));
        until(|| events.receiver_count() == 1).await;
        events.send(3).unwrap();
        assert_eq!(follower.hears().await, "3");
        // Nobody waits for it: ten at once, and there is room for four.
        for event in 10..20 {
            events.send(event).unwrap();
        }
        assert_eq!(follower.hears().await, r#"{"missed":6}"#);
        for event in 16..20 {
            assert_eq!(follower.hears().await, event.to_string());
        }
        let mut other = Asker::says(directory, r#"{"cmd":"events","follow":true}"#).await;
        assert_eq!((other.hears().await, other.hears().await), ("1".into(), "2".into()));
        drop(follower);
        until(|| events.receiver_count() == 1).await;
        events.send(99).unwrap();
        assert_eq!((other.hears().await, other.hears().await), ("99".into(), String::new()), "that was the last one");
        assert_eq!(events.receiver_count(), 0);
    });
}

/// Two thousand events of a kilobyte: more than any socket buffer takes.
#[test]
fn a_follower_that_does_not_read_holds_up_nobody() {
    let (events, _) = broadcast::channel::<String>(16);
    let told = events.clone();
    let answer = async move |request: Request, lines: &mut AnswerWriter<'_>| match request {
        Request::Events { .. } => follow(lines, Vec::new(), Some(told.subscribe()), |_| false).await,
        _ => lines.write(&"here").await,
    };
    serve(answer, async |directory| {
        let deaf = Asker::says(directory, r#"{"cmd":"events","follow":true}"#).await;
        let mut good = Asker::says(directory, r#"{"cmd":"events","follow":true}"#).await;
        until(|| events.receiver_count() == 2).await;
        let mut missed = false;
        for _ in 0..2_000 {
            events.send("x".repeat(1000)).unwrap();
            missed |= good.hears().await.contains("missed");
        }
        assert!(!missed, "who keeps up misses nothing");
        assert_eq!(Asker::says(directory, r#"{"cmd":"status"}"#).await.hears().await, "\"here\"");
        drop(deaf);
        until(|| events.receiver_count() == 1).await;
    });
}

#[test]
fn who_only_holds_a_connection_makes_way_and_who_waits_for_an_answer_does_not() {
    let (events, _) = broadcast::channel::<u32>(4);
    let told = events.clone();
    let answer = async move |_: Request, lines: &mut AnswerWriter<'_>| {
        follow(lines, vec![0], Some(told.subscribe()), |_| false).await
    };
    serve(answer, async |directory| {
        let mut follower = Asker::says(directory, r#"{"cmd":"events","follow":true}"#).await;
        assert_eq!(follower.hears().await, "0");
        let mut idle = Vec::new();
        for _ in 0..super::server::MAX_ASKERS + 10 {
            idle.push(Asker::connect(directory).await);
            yield_now().await;
        }
        // The first of the idle ones has been closed, and so all connections before the last have been seen.
        assert_eq!(idle[0].hears().await, "");
        events.send(1).unwrap();
        assert_eq!(follower.hears().await, "1");
        // When all are followers the oldest goes: somebody may always ask.
        drop(idle);
        let mut followers = Vec::new();
        for _ in 0..super::server::MAX_ASKERS {
            let mut one = Asker::says(directory, r#"{"cmd":"events","follow":true}"#).await;
            assert_eq!(one.hears().await, "0");
            followers.push(one);
        }
        assert_eq!(follower.hears().await, "");
    });
}

/// Tells whether an answer was given up.
struct Gone(Rc<Cell<u32>>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn who_hangs_up_is_forgotten_and_who_only_ends_its_words_is_answered() {
    let (go, _) = broadcast::channel::<()>(1);
    let (begun, gone) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (answering, leaving, wait) = (begun.clone(), gone.clone(), go.clone());
    let answer = async move |_: Request, lines: &mut AnswerWriter<'_>| {
        let _gone = Gone(leaving.clone());
        let mut go = wait.subscribe();
        answering.set(answering.get() + 1);
        let _ = go.recv().await;
        lines.write(&"done").await
    };
    serve(answer, async |directory| {
        let left = Asker::says(directory, r#"{"cmd":"reload"}"#).await;
        let mut half = Asker::says(directory, r#"{"cmd":"reload"}"#).await;
        // Its second request waits for its turn.
        let mut twice = Asker::says(directory, "{\"cmd\":\"reload\"}\n{\"cmd\":\"reload\"}").await;
        until(|| begun.get() == 3).await;
        half.0.get_mut().get_mut().shutdown().await.unwrap();
        drop(left);
        until(|| gone.get() == 1).await;
        go.send(()).unwrap();
        assert_eq!(half.hears().await, "\"done\"");
        assert_eq!(twice.hears().await, "\"done\"");
        until(|| begun.get() == 4).await;
        go.send(()).unwrap();
        assert_eq!(twice.hears().await, "\"done\"");
    });
}

/// A master that is told to stop, and then does something else before its connections close.
fn stopped(at_the_end: impl FnOnce(&Path, UnixListener) + Send + 'static) -> Result<Reply, ControlError> {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("web")).unwrap();
    let path = directory.path().join("web").join(SOCKET);
    let listener = UnixListener::bind(&path).unwrap();
    let master = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        io::BufReader::new(&stream).read_line(&mut line).unwrap();
        assert_eq!(line, "{\"cmd\":\"stop\"}\n");
        (&stream).write_all(b"{\"ok\":true}\n").unwrap();
        at_the_end(&path, listener);
    });
    let reply = Client::new(directory.path(), "web").end();
    master.join().unwrap();
    reply
}

#[test]
fn a_fleet_has_stopped_when_its_socket_is_gone_and_not_when_its_master_died() {
    let done = Reply::Done(Done { ok: true, ..Done::default() });
    let in_order = stopped(|path, _listener| fs::remove_file(path).unwrap());
    assert_eq!(in_order.unwrap(), done);
    let killed = stopped(|_, listener| drop(listener));
    assert!(matches!(killed, Err(ControlError::Ended { .. })), "{killed:?}");
}
