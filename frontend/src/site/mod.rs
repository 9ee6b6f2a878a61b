//! The web application's files as built: with their compressed forms, and with whether the shop needs them.

mod manifest;

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::web::Bytes;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use manifest::Manifest;

pub const SHOP_PAGE: &str = "index.html";
pub const CONSOLE_PAGE: &str = "console.html";
/// Shown at `/` and in the log if there are no pages.
pub const NOT_BUILT: &str = "the web application is not built: run `npm ci` and `npm run build` in frontend/web, then start (a release build: build) the frontend again";
/// Files below this path have a content hash in their names.
const HASHED: &str = "assets/";
/// Build metadata: read here, never served.
const BUILD_NOTES: &str = ".vite/";
const MANIFEST: &str = ".vite/manifest.json";
/// Suffixes of compressed forms.
const BROTLI: &str = ".br";
const GZIP: &str = ".gz";

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Built;

#[derive(Debug)]
pub struct File {
    /// The uncompressed content.
    pub bytes: Bytes,
    pub media_type: &'static str,
    /// Weak, because it is the same for every encoding.
    pub etag: String,
    /// Value of `Cache-Control`.
    pub cache_control: &'static str,
    /// True if the shop does not need it.
    pub is_console_only: bool,
    /// Present if the build found that compression pays off.
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

/// Encoding of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Brotli,
    Gzip,
    Identity,
}

impl Encoding {
    /// The best encoding that `Accept-Encoding` allows.
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
    fn new(path: &str, forms: Forms, is_console_only: bool) -> Self {
        let Forms { bytes, brotli, gzip } = forms;
        let etag = format!("W/\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
        let cache_control = if path.starts_with(HASHED) {
            "public, max-age=31536000, immutable"
        } else if [SHOP_PAGE, CONSOLE_PAGE].contains(&path) {
            "no-cache"
        } else {
            "public, max-age=3600"
        };
        Self { media_type: media_type(path), etag, cache_control, is_console_only, bytes, brotli, gzip }
    }

    /// The body in the wanted encoding, or unencoded if the file has no such form.
    pub fn body(&self, wanted: Encoding) -> (Encoding, Bytes) {
        let made = match wanted {
            Encoding::Brotli => self.brotli.as_ref(),
            Encoding::Gzip => self.gzip.as_ref(),
            Encoding::Identity => None,
        };
        made.map_or_else(|| (Encoding::Identity, self.bytes.clone()), |bytes| (wanted, bytes.clone()))
    }
}

/// A file with its forms, as written by the build.
#[derive(Default)]
struct Forms {
    bytes: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

/// All files, by path without the leading slash.
#[derive(Debug, Clone, Default)]
pub struct Site(Arc<HashMap<String, File>>);

impl Site {
    /// The files embedded at build time; a debug build reads the folder at run time.
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

    /// Builds the site from the given files.
    pub fn of(files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        let mut all: HashMap<String, Bytes> = files.into_iter().collect();
        let manifest = all.get(MANIFEST).and_then(|bytes| Manifest::read(bytes)).unwrap_or_default();
        let for_shop = manifest.reached_from(SHOP_PAGE);
        let for_console = manifest.reached_from(CONSOLE_PAGE);
        let is_console_only =
            |path: &str| path == CONSOLE_PAGE || (for_console.contains(path) && !for_shop.contains(path));
        all.retain(|path, _| !path.starts_with(BUILD_NOTES));
        // `a.js.br` is a compressed form if there is an `a.js`, otherwise a file of its own.
        let forms: Vec<String> =
            all.keys().filter(|path| base_of(path).is_some_and(|base| all.contains_key(base))).cloned().collect();
        let mut compressed: HashMap<String, Bytes> =
            forms.into_iter().filter_map(|path| all.remove_entry(&path)).collect();
        let files = all.into_iter().map(|(path, bytes)| {
            let mut form = |ending: &str| compressed.remove(&format!("{path}{ending}"));
            let forms = Forms { bytes, brotli: form(BROTLI), gzip: form(GZIP) };
            let file = File::new(&path, forms, is_console_only(&path));
            (path, file)
        });
        Self(Arc::new(files.collect()))
    }

    /// True if there are pages to show.
    pub fn is_there(&self) -> bool {
        self.0.contains_key(SHOP_PAGE)
    }

    /// A file by its path without the leading slash.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.0.get(path)
    }

    /// The paths of all files that are served.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The path of the file that this path is a compressed form of.
fn base_of(path: &str) -> Option<&str> {
    path.strip_suffix(BROTLI).or_else(|| path.strip_suffix(GZIP))
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
    fn compressed_forms_belong_to_their_file() {
        let files = [
            ("assets/shop-1.js", "plain"),
            ("assets/shop-1.js.br", "brotli"),
            ("assets/shop-1.js.gz", "gzip"),
            ("assets/font-1.woff2", "font"),
            ("archive.gz", "a file of its own"),
        ];
        let site = Site::of(files.map(|(path, text)| (path.to_owned(), Bytes::from_static(text.as_bytes()))));
        let mut paths: Vec<&str> = site.paths().collect();
        paths.sort_unstable();
        assert_eq!(paths, ["archive.gz", "assets/font-1.woff2", "assets/shop-1.js"]);
        let body = |path: &str, wanted| site.get(path).expect("a file").body(wanted);
        assert_eq!(body("assets/shop-1.js", Encoding::Brotli), (Encoding::Brotli, Bytes::from_static(b"brotli")));
        assert_eq!(body("assets/shop-1.js", Encoding::Gzip), (Encoding::Gzip, Bytes::from_static(b"gzip")));
        assert_eq!(body("assets/shop-1.js", Encoding::Identity).1, "plain");
        assert_eq!(body("assets/font-1.woff2", Encoding::Brotli), (Encoding::Identity, Bytes::from_static(b"font")));
    }
}
