//! A real Prometheus.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use super::Stage;

/// Killed when dropped. What it says is in `prometheus.log` of the stage.
pub(crate) struct Prometheus(Child);

impl Prometheus {
    /// Starts it at an address, with the text of a configuration.
    pub(crate) fn start(stage: &Stage, address: &str, config: &str) -> Self {
        let config = stage.write("prometheus.yml", config);
        let log = File::create(stage.path().join("prometheus.log")).expect("a file of our own");
        let prometheus = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", stage.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus");
        Prometheus(prometheus)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It is our child, and has not been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
