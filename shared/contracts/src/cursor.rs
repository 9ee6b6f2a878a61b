//! Cursors of lists: an opaque text that belongs to one list, and holds the key of the last item of a page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns the cursor of `list` behind the item with this key.
pub fn write(list: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}\n{key}"))
}

/// Returns the key in a cursor of `list`; None for any other text.
pub fn read(list: &str, cursor: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (name, key) = text.split_once('\n')?;
    (name == list && !key.chars().any(char::is_control)).then(|| key.to_owned())
}
