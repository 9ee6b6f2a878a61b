//! Reads, merges and checks settings.

use config::{Config, Environment, File, FileFormat, Value, ValueKind};

use super::{InvalidSettings, Sections as _, Settings, Sources, from_files};

/// The error lists every unknown key and every invalid value at once.
pub fn load<S: Settings>(sources: Sources<'_>) -> Result<S, InvalidSettings> {
    let mut problems = Vec::new();
    let merged = merge(sources, &mut problems)?;
    let common = S::Common::read(&merged, &mut problems);
    if let Some(common) = &common {
        common.check(&mut problems);
    }
    // A value that does not fit is either in the common sections, which have reported it, or in the service's own.
    match S::deserialize(&merged) {
        Ok(settings) => settings.check(&mut problems),
        Err(_) if common.is_none() => {}
        Err(error) => problems.push(error.to_string()),
    }
    if !problems.is_empty() {
        return Err(InvalidSettings(problems));
    }
    S::deserialize(&merged).map_err(|error| InvalidSettings(vec![error.to_string()]))
}

/// Reads a part of the settings: `read` gets all of them merged, and fails by adding problems.
pub fn load_part<T>(
    sources: Sources<'_>,
    read: impl FnOnce(&serde_json::Value, &mut Vec<String>) -> Option<T>,
) -> Result<T, InvalidSettings> {
    let mut problems = Vec::new();
    let merged = merge(sources, &mut problems)?;
    let part = read(&merged, &mut problems);
    part.filter(|_| problems.is_empty()).ok_or(InvalidSettings(problems))
}

/// Merges defaults, file and environment into one value with the defaults' types. Adds values that do not fit to
/// `problems`.
fn merge(mut sources: Sources<'_>, problems: &mut Vec<String>) -> Result<serde_json::Value, InvalidSettings> {
    let own_prefix = format!("{}_", sources.env_prefix);
    let nested_prefix = format!("{}__", sources.env_prefix);
    for (name, _) in &sources.env {
        if name.starts_with(&own_prefix) && !name.starts_with(&nested_prefix) {
            problems.push(format!("{name}: write two underscores after the prefix, as in {nested_prefix}HTTP__PORT"));
        }
    }
    let defaults = Config::builder()
        .add_source(File::from_str(sources.defaults, FileFormat::Toml))
        .build()
        .map_err(|error| InvalidSettings(vec![format!("embedded defaults: {error}")]))?;
    let from_files = from_files::take(&mut sources.env, &nested_prefix, &defaults.cache, problems);
    let env = Environment::with_prefix(sources.env_prefix)
        .prefix_separator("__")
        .separator("__")
        .source(Some(sources.env.into_iter().collect()));
    let mut builder = Config::builder().add_source(defaults.clone());
    if let Some(path) = sources.file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    // A parser quotes the line that it cannot read, and that line may contain a password.
    let unreadable = |error: config::ConfigError| error.to_string().lines().next().unwrap_or_default().to_owned();
    builder = builder.add_source(env);
    for (key, value) in from_files {
        builder = builder.set_override(key, value).map_err(|error| InvalidSettings(vec![unreadable(error)]))?;
    }
    let merged = builder.build().map_err(|error| {
        let file = sources.file.map(|path| format!("{}: ", path.display())).unwrap_or_default();
        InvalidSettings(vec![format!("{file}{}", unreadable(error))])
    })?;

    Ok(conform("", &merged.cache, &defaults.cache, problems))
}

/// Converts the value at `path` to the type of the default, since values from the environment are text. A value that
/// cannot be converted is reported and replaced by the default, so that the rest is checked as well.
fn conform(path: &str, value: &Value, default: &Value, problems: &mut Vec<String>) -> serde_json::Value {
    use serde_json::Value as Json;
    let mut refuse = |expected: &str| {
        problems.push(format!("{path}: must be {expected}"));
        conform(path, default, default, &mut Vec::new())
    };
    match (&default.kind, &value.kind) {
        (ValueKind::Table(known), ValueKind::Table(given)) => {
            let mut table = serde_json::Map::new();
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(default) => {
                        table.insert(key.clone(), conform(&path, value, default, problems));
                    }
                    None => problems.push(format!("{path}: no such key")),
                }
            }
            Json::Object(table)
        }
        (ValueKind::Table(_), _) => refuse("a section"),
        (ValueKind::Boolean(_), _) => match value.clone().into_bool() {
            Ok(flag) => Json::from(flag),
            Err(_) => refuse("true or false"),
        },
        (ValueKind::I64(_), kind) => match (kind, value.clone().into_int()) {
            (ValueKind::Float(_), _) | (_, Err(_)) => refuse("a whole number"),
            (_, Ok(number)) => Json::from(number),
        },
        (ValueKind::Float(_), _) => match value.clone().into_float() {
            Ok(number) if number.is_finite() => Json::from(number),
            _ => refuse("a number"),
        },
        (ValueKind::Array(_), ValueKind::String(text)) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Json::from).collect()
        }
        (ValueKind::Array(_), ValueKind::Array(items)) => {
            let texts: Result<Vec<_>, _> = items.iter().map(|item| item.clone().into_string()).collect();
            texts.map_or_else(|_| refuse("a list of texts"), Json::from)
        }
        (ValueKind::Array(_), _) => refuse("a list"),
        (_, ValueKind::Table(_) | ValueKind::Array(_)) => refuse("a text"),
        (_, _) => value.clone().into_string().map_or_else(|_| refuse("a text"), Json::from),
    }
}
