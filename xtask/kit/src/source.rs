//! A program that is built from its source, which a crate on crates.io carries, into target/.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{paths, sh};

/// Where the source is, and how it is built.
pub struct Source {
    /// What it is to whoever lacks it.
    pub name: &'static str,
    /// The crate, as a line of a manifest; cargo checks what it downloads.
    dependency: &'static str,
    /// Where in the vendored crates the source is.
    path: &'static str,
    configure: &'static [&'static str],
    /// Where `make` puts the program.
    program: &'static str,
    dir: fn() -> PathBuf,
}

/// nginx that speaks HTTP/3: Debian's does not in some of its releases. It takes nothing but OpenSSL.
pub const NGINX: Source = Source {
    name: "nginx with HTTP/3",
    dependency: "nginx-src = \"=1.28.5\"",
    path: "nginx-src/nginx",
    configure: &[
        "auto/configure",
        "--prefix=.",
        "--with-http_ssl_module",
        "--with-http_v3_module",
        "--without-http_gzip_module",
        "--without-http_rewrite_module",
        "--without-pcre",
    ],
    program: "objs/nginx",
    dir: paths::nginx,
};

impl Source {
    /// Whether it is built, in this version and in this way.
    #[must_use]
    pub fn is_built(&self) -> bool {
        fs::read_to_string(self.built()).is_ok_and(|built| built == self.wanted())
    }

    /// Builds it, unless it is there. Takes a compiler, make, and the libraries that it is linked with.
    ///
    /// # Errors
    /// If it cannot be downloaded or built.
    pub fn provide(&self) -> Result<()> {
        if self.is_built() {
            return Ok(());
        }
        println!("building {}", self.name);
        let dir = (self.dir)();
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let vendored = dir.join("vendor");
        self.download(&dir, &vendored)?;
        let source = vendored.join(self.path);
        sh::output(Command::new("sh").args(self.configure).current_dir(&source))?;
        sh::output(Command::new("make").arg("-j2").current_dir(&source))?;
        let program = source.join(self.program);
        let to = dir.join(program.file_name().context("a program has a name")?);
        fs::rename(&program, &to).with_context(|| format!("cannot move {}", program.display()))?;
        fs::remove_dir_all(&vendored).with_context(|| format!("cannot remove {}", vendored.display()))?;
        write(&self.built(), &self.wanted())
    }

    /// By a package that has no code, whose dependencies cargo copies to a place that is known.
    fn download(&self, dir: &Path, to: &Path) -> Result<()> {
        let manifest = dir.join("Cargo.toml");
        let package =
            "[package]\nname = \"source\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n[dependencies]\n";
        write(&manifest, &format!("{package}{}\n", self.dependency))?;
        write(&dir.join("lib.rs"), "")?;
        let mut cargo = Command::new(sh::cargo());
        cargo.args(["vendor", "--quiet", "--manifest-path"]).arg(&manifest).arg(to);
        sh::output(&mut cargo).map(drop)
    }

    /// Written when all else has succeeded.
    fn built(&self) -> PathBuf {
        (self.dir)().join("built.txt")
    }

    fn wanted(&self) -> String {
        format!("{}\n{}\n", self.dependency, self.configure.join("\n"))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
