//! The web application's files as its build has left them: read once, compressed once, and known by whether the shop
//! needs them.

mod manifest;

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use actix_web::web::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use manifest::Manifest;

/// The shop's page.
pub const SHOP_PAGE: &str = "index.html";
/// The console's page.
pub const CONSOLE_PAGE: &str = "console.html";
/// Files below have their content's hash in their names.
const HASHED: &str = "assets/";
/// What the build tells of itself: read here, served to nobody.
const BUILD_NOTES: &str = ".vite/";
const MANIFEST: &str = ".vite/manifest.json";

/// Smaller files gain nothing from being compressed.
const COMPRESS_BYTES_MIN: usize = 512;
/// The best that a build for use can do, since it is done once; a debug build would take minutes for that.
const BROTLI_QUALITY: i32 = if cfg!(debug_assertions) { 4 } else { 11 };
const BROTLI_WINDOW_BITS: i32 = 20;

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Built;

/// One file.
#[derive(Debug)]
pub struct File {
    /// As it was built.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: &'static str,
    /// Weak, because it is the same for each encoding.
    pub etag: String,
    /// How long browsers may keep it without asking.
    pub cache_control: &'static str,
    /// Whether only the console needs it.
    pub is_console_only: bool,
    compressed: OnceLock<Compressed>,
}

#[derive(Debug)]
struct Compressed {
    brotli: Bytes,
    gzip: Bytes,
}

/// How an answer's body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `br`.
    Brotli,
    /// `gzip`.
    Gzip,
    /// As it is.
    Identity,
}

impl Encoding {
    /// The best one that `Accept-Encoding` names.
    pub fn accepted(header: Option<&str>) -> Self {
        let accepts = |name: &str| {
            header.unwrap_or_default().split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
                let refused = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
                named && !parts.any(refused)
            })
        };
        match (accepts("br"), accepts("gzip")) {
            (true, _) => Self::Brotli,
            (false, true) => Self::Gzip,
            (false, false) => Self::Identity,
        }
    }

    /// The value of `Content-Encoding`.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }
}

impl File {
    fn new(path: &str, bytes: Bytes, is_console_only: bool) -> Self {
        let etag = format!("W/\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
        let cache_control = if path.starts_with(HASHED) {
            "public, max-age=31536000, immutable"
        } else if path.ends_with(".html") {
            "no-cache"
        } else {
            "public, max-age=3600"
        };
        Self { media_type: media_type(path), etag, cache_control, is_console_only, bytes, compressed: OnceLock::new() }
    }

    /// The body in the wanted encoding, or as it is when that is not (yet) there.
    pub fn body(&self, wanted: Encoding) -> (Encoding, Bytes) {
        match (wanted, self.compressed.get()) {
            (Encoding::Brotli, Some(compressed)) => (Encoding::Brotli, compressed.brotli.clone()),
            (Encoding::Gzip, Some(compressed)) => (Encoding::Gzip, compressed.gzip.clone()),
            _ => (Encoding::Identity, self.bytes.clone()),
        }
    }

    fn compress(&self) -> std::io::Result<()> {
        let is_text = self.media_type.starts_with("text/")
            || ["image/svg+xml", "application/json", "application/manifest+json"].contains(&self.media_type);
        if !is_text || self.bytes.len() < COMPRESS_BYTES_MIN || self.compressed.get().is_some() {
            return Ok(());
        }
        let mut brotli = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams {
            quality: BROTLI_QUALITY,
            lgwin: BROTLI_WINDOW_BITS,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut self.bytes.as_ref(), &mut brotli, &parameters)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&self.bytes)?;
        let compressed = Compressed { brotli: brotli.into(), gzip: gzip.finish()?.into() };
        // Who was quicker has made the same.
        drop(self.compressed.set(compressed));
        Ok(())
    }
}

/// All files, by their paths without the first slash.
#[derive(Debug, Clone, Default)]
pub struct Site(Arc<HashMap<String, File>>);

impl Site {
    /// What this program was built with; a debug build reads the folder, now.
    pub fn embedded() -> Self {
        let files = Built::iter().filter_map(|path| {
            let file = Built::get(&path)?;
            let bytes = match file.data {
                std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
            };
            Some((path.into_owned(), bytes))
        });
        Self::of(files)
    }

    /// Of these files.
    pub fn of(files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        let all: Vec<(String, Bytes)> = files.into_iter().collect();
        let manifest = all.iter().find(|(path, _)| path == MANIFEST).and_then(|(_, bytes)| Manifest::read(bytes));
        let manifest = manifest.unwrap_or_default();
        let for_shop = manifest.reached_from(SHOP_PAGE);
        let for_console = manifest.reached_from(CONSOLE_PAGE);
        let is_console_only =
            |path: &str| path == CONSOLE_PAGE || (for_console.contains(path) && !for_shop.contains(path));
        let served = all.into_iter().filter(|(path, _)| !path.starts_with(BUILD_NOTES));
        let files = served.map(|(path, bytes)| {
            let file = File::new(&path, bytes, is_console_only(&path));
            (path, file)
        });
        Self(Arc::new(files.collect()))
    }

    /// Whether there is anything to show.
    pub fn is_there(&self) -> bool {
        self.0.contains_key(SHOP_PAGE)
    }

    /// A file by its path without the first slash.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.0.get(path)
    }

    /// The paths of all files that are served.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Makes the compressed forms; until one is there its file is answered as it is.
    pub fn compress(&self) {
        for (path, file) in self.0.iter() {
            if let Err(error) = file.compress() {
                tracing::warn!(path, %error, "cannot be compressed; it is served as it is");
            }
        }
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_encoding_that_is_accepted_is_taken() {
        for (header, wanted) in [
            (Some("gzip, deflate, br, zstd"), Encoding::Brotli),
            (Some("GZIP;q=0.5"), Encoding::Gzip),
            (Some("br;q=0, gzip"), Encoding::Gzip),
            (Some("br; q=0"), Encoding::Identity),
            (Some("brotli"), Encoding::Identity),
            (None, Encoding::Identity),
        ] {
            assert_eq!(Encoding::accepted(header), wanted, "{header:?}");
        }
    }

    #[test]
    fn compressed_forms_are_smaller_and_come_when_they_are_made() {
        let script = "console.log('jaego');\n".repeat(200);
        let site = Site::of([
            ("assets/shop-1.js".to_owned(), Bytes::from(script.clone())),
            ("assets/font-1.woff2".to_owned(), Bytes::from(vec![1; 4096])),
        ]);
        let file = site.get("assets/shop-1.js").expect("a file");
        assert_eq!(file.body(Encoding::Brotli).0, Encoding::Identity, "not made yet");
        site.compress();
        for encoding in [Encoding::Brotli, Encoding::Gzip] {
            let (made, bytes) = file.body(encoding);
            assert_eq!(made, encoding);
            assert!(bytes.len() < script.len() / 10, "{encoding:?}: {}", bytes.len());
        }
        let font = site.get("assets/font-1.woff2").expect("a file");
        assert_eq!(font.body(Encoding::Brotli).0, Encoding::Identity, "compressed already by its format");
    }
}
