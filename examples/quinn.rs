//! A QUIC server whose connection ids name its worker: a client that changes its address or port goes on, also while the
//! worker drains. It answers a stream that says a number with its process id, and then with so many blocks, one each 50 ms.
//!
//!     cargo build --example quinn
//!     openssl req -x509 -newkey rsa -nodes -subj /CN=localhost -keyout key.pem -out cert.pem
//!     sudo llb run --quic-lb on -- target/debug/examples/quinn 127.0.0.1:4433 cert.pem key.pem

use std::{
    env,
    error::Error,
    net::{SocketAddr, UdpSocket},
    process,
    sync::Arc,
    time::Duration,
};

use quinn::{
    ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime,
    crypto::rustls::QuicServerConfig,
    rustls::{
        self,
        crypto::{SecureRandom, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const BLOCK: [u8; 1_000] = [b'.'; 1_000];
const BLOCK_EVERY: Duration = Duration::from_millis(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let [address, certificate, key] =
        env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "three arguments")?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(certificate)?], PrivateKeyDer::from_pem_file(key)?)?;
    tls.alpn_protocols = vec![b"blocks".to_vec()];
    let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let socket = UdpSocket::bind(address.parse::<SocketAddr>()?)?;
    let endpoint = Endpoint::new(config(), Some(server), socket, Arc::new(TokioRuntime))?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(serve(incoming));
    }
    Ok(())
}

/// Without llb the ids are quinn's own.
fn config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if let Some(worker) = env::var("LLB_WORKER").ok().and_then(|number| number.parse().ok()) {
        config.cid_generator(move || Box::new(Ids { worker, random: ring::default_provider().secure_random }));
    }
    config
}

/// As `llb run --quic-lb on` reads them: the length of the rest, the worker, and what is random.
struct Ids {
    worker: u16,
    random: &'static dyn SecureRandom,
}

impl Ids {
    const LENGTH: usize = 9;
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; Self::LENGTH];
        self.random.fill(&mut id[3..]).expect("the kernel's random numbers");
        id[0] = Self::LENGTH as u8 - 1;
        id[1..3].copy_from_slice(&self.worker.to_be_bytes());
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        Self::LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Ends with the connection.
async fn serve(incoming: Incoming) -> Result<()> {
    let connection = incoming.await?;
    loop {
        let (sending, receiving) = connection.accept_bi().await?;
        tokio::spawn(answer(sending, receiving));
    }
}

async fn answer(mut sending: SendStream, mut receiving: RecvStream) -> Result<()> {
    let blocks: u32 = String::from_utf8(receiving.read_to_end(20).await?)?.trim().parse()?;
    sending.write_all(format!("{}\n", process::id()).as_bytes()).await?;
    for _ in 0..blocks {
        sending.write_all(&BLOCK).await?;
        tokio::time::sleep(BLOCK_EVERY).await;
    }
    sending.finish()?;
    Ok(())
}
