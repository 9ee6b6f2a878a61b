//! Vite's `manifest.json`: the files that a page can load.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Chunks by the names of their sources.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Manifest(BTreeMap<String, Chunk>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    file: String,
    #[serde(default)]
    css: Vec<String>,
    #[serde(default)]
    assets: Vec<String>,
    /// Names of chunks.
    #[serde(default)]
    imports: Vec<String>,
    #[serde(default)]
    dynamic_imports: Vec<String>,
}

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice(bytes) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                tracing::warn!(%error, "the build's manifest cannot be read, so the console's files are not known");
                None
            }
        }
    }

    /// The files that `page` may load, at once or later.
    pub(super) fn reached_from(&self, page: &str) -> BTreeSet<&str> {
        let (mut files, mut seen, mut waiting) = (BTreeSet::new(), BTreeSet::new(), vec![page]);
        while let Some(name) = waiting.pop() {
            let Some(chunk) = self.0.get(name).filter(|_| seen.insert(name)) else { continue };
            files.insert(chunk.file.as_str());
            files.extend(chunk.css.iter().chain(&chunk.assets).map(String::as_str));
            waiting.extend(chunk.imports.iter().chain(&chunk.dynamic_imports).map(String::as_str));
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reaches_its_chunks_imports_and_no_more() {
        let manifest = Manifest::read(
            br#"{
                "index.html": {"file": "assets/shop.js", "isEntry": true, "imports": ["_common.js"], "css": ["assets/shop.css"]},
                "console.html": {"file": "assets/console.js", "imports": ["_common.js"], "dynamicImports": ["src/console/stock.tsx"]},
                "_common.js": {"file": "assets/common.js", "assets": ["assets/font.woff2"], "imports": ["index.html"]},
                "src/console/stock.tsx": {"file": "assets/stock.js", "isDynamicEntry": true}
            }"#,
        )
        .expect("a manifest");
        let shop: Vec<&str> = manifest.reached_from("index.html").into_iter().collect();
        assert_eq!(shop, ["assets/common.js", "assets/font.woff2", "assets/shop.css", "assets/shop.js"]);
        let console = manifest.reached_from("console.html");
        assert!(console.contains("assets/stock.js") && console.contains("assets/common.js"));
        assert!(manifest.reached_from("other.html").is_empty());
    }
}
