//! Commands that the documents show, held against the programs, documents and files that they name.

mod shell;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use serde_json::Value;

use crate::structure::root;

/// Documents besides those in `docs/`.
const DOCUMENTS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "helm/jaego/README.md",
    "k8s/README.md",
    "frontend/web/README.md",
    "frontend/web/e2e/README.md",
];

/// Words that stand for a value, where the program checks the value.
const PLACEHOLDERS: [(&str, &str); 3] =
    [("ID", "01a2051b-cecd-7409-aeed-e0a5afd6eded"), ("UNITS", "1"), ("COMMAND", "status")];

#[test]
fn every_command_in_the_documents_can_be_typed() {
    let docs = ["docs", "docs/adr"].map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let docs = docs.into_iter().flatten().flatten().map(|entry| entry.path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let (mut seen, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for path in DOCUMENTS.map(|name| root().join(name)).into_iter().chain(docs) {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        for line in shell::lines(&name, &fs::read_to_string(&path).unwrap()) {
            for words in shell::commands(&line.text) {
                match check(&words, line.is_name) {
                    Some(Ok(())) => *seen.entry(words[0].clone()).or_default() += 1,
                    Some(Err(why)) => wrong.push(format!("{}: {}\n{why}", line.place, words.join(" "))),
                    None => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for program in ["cargo", "curl", "helm", "jaegoctl", "kubectl", "npm", "sales-service"] {
        assert!(seen.contains_key(program), "no document shows {program}: {seen:?}");
    }
}

#[test]
fn a_wrong_command_is_seen() {
    for (line, is_right) in [
        ("cargo xtask bench intake --quick", true),
        ("cargo xtask bench intakes", false),
        ("cargo xtask up --fast", false),
        ("cargo nextest run -p e2e", true),
        ("cargo nextest run -p e3e", false),
        ("jaegoctl receipts book --request ID --quantity UNITS --reason TEXT", true),
        ("jaegoctl receipts book --request ID --quantity UNITS", false),
        ("jaegoctl dlq redrives", false),
        ("restock-service migrate --wait-s 5", true),
        ("restock-service migrates", false),
        ("frontend check-config", true),
        ("frontend migrate", false),
        ("helm upgrade jaego helm/jaego -f helm/jaego/values-production.yaml --set sales.image.tag=1", true),
        ("helm upgrade jaego helm/jaego --set sales.image.tags=1", false),
        ("helm upgrade jaego helm/jaego -f helm/jaego/values-test.yaml", false),
        ("kubectl apply -f k8s/gateway", true),
        ("kubectl apply -f k8s/gateways", false),
        ("curl $SALES_URL/api/v1/stock/CP-1?x=y", true),
        ("curl $SALES_URL/api/v1/stocks/CP-1", false),
        ("curl -d '{}' $SALES_URL/api/v1/orders", true),
        ("curl -X DELETE $SALES_URL/api/v1/orders", false),
        ("npm run generate", true),
        ("npm run generates", false),
    ] {
        let words = shell::commands(line);
        assert_eq!(check(&words[0], false).map(|checked| checked.is_ok()), Some(is_right), "{line}");
    }
    let name = shell::commands("jaegoctl receipts book");
    assert_eq!(check(&name[0], true), Some(Ok(())), "a name needs no options");
}

/// Returns nothing for a program that is not ours, and that names nothing of ours.
fn check(words: &[String], is_name: bool) -> Option<Result<(), String>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words[..] {
        ["cargo", "xtask", ..] => parse(tasks::cli::Cli::command(), &words[1..], is_name),
        ["cargo", "nextest" | "test" | "build", ..] => check_packages(&words),
        ["jaegoctl", ..] => parse(jaegoctl::cli::Cli::command(), &words, is_name),
        ["sales-service" | "production-service" | "restock-service", _, ..] => {
            parse(jaego_service::arguments("SERVICE"), &words, is_name)
        }
        ["frontend", _, ..] => parse(jaego_process::arguments("frontend"), &words, is_name),
        ["helm", ..] => check_values(&words).and_then(|()| check_files(&words)),
        ["kubectl", ..] => check_files(&words),
        ["curl", ..] => check_operation(&words),
        ["npm", "run", script, ..] | ["npm", script @ ("test" | "start"), ..] => check_script(script),
        _ => return None,
    })
}

fn parse(mut program: clap::Command, words: &[&str], is_name: bool) -> Result<(), String> {
    let values = words.iter().map(|word| PLACEHOLDERS.iter().find(|(name, _)| name == word).map_or(*word, |it| it.1));
    let Err(error) = program.try_get_matches_from_mut(values) else { return Ok(()) };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if is_name =>
        {
            Ok(())
        }
        _ => Err(error.to_string()),
    }
}

/// The word after each of the options.
fn values_of<'a>(words: &[&'a str], options: &[&str]) -> Vec<&'a str> {
    words.windows(2).filter(|pair| options.contains(&pair[0])).map(|pair| pair[1]).collect()
}

fn check_packages(words: &[&str]) -> Result<(), String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names = values_of(words, &["-p", "--package"]);
    let missing = names.into_iter().find(|name| !lock.contains(&format!("\nname = \"{name}\"\n")));
    missing.map_or(Ok(()), |name| Err(format!("there is no package {name}")))
}

/// Files of this repository exist.
fn check_files(words: &[&str]) -> Result<(), String> {
    let is_ours = |word: &&&str| word.starts_with("helm/") || word.starts_with("k8s/");
    let missing = words.iter().filter(is_ours).find(|path| !root().join(path).exists());
    missing.map_or(Ok(()), |path| Err(format!("there is no file {path}")))
}

/// The chart knows the values that are set.
fn check_values(words: &[&str]) -> Result<(), String> {
    let schema = json(&root().join("helm/jaego/values.schema.json"));
    let resolve =
        |part: &Value| part["$ref"].as_str().and_then(|to| schema.pointer(to.trim_start_matches('#'))).cloned();
    for set in values_of(words, &["--set", "--set-string"]).into_iter().flat_map(|sets| sets.split(',')) {
        let mut part = schema.clone();
        for key in set.split('=').next().unwrap().split('.') {
            part = part["properties"][key].clone();
            part = resolve(&part).unwrap_or(part);
        }
        if part.is_null() {
            return Err(format!("the chart has no value {set}"));
        }
    }
    Ok(())
}

/// The service has an operation with this method and path.
fn check_operation(words: &[&str]) -> Result<(), String> {
    let sends = words.iter().any(|word| ["-d", "--data", "--json"].contains(word));
    let method = values_of(words, &["-X", "--request"]).first().copied().unwrap_or(if sends { "POST" } else { "GET" });
    for service in ["sales", "production", "restock"] {
        let variable = format!("${}_URL", service.to_uppercase());
        for path in words.iter().filter_map(|word| word.strip_prefix(&variable)) {
            let document = json(&root().join(format!("frontend/web/openapi/{service}.json")));
            let parts = |path: &str| path.split('?').next().unwrap().split('/').map(str::to_owned).collect::<Vec<_>>();
            let matches = |template: &str| {
                let (template, path) = (parts(template), parts(path));
                let mut pairs = template.iter().zip(&path);
                template.len() == path.len() && pairs.all(|(part, given)| part.starts_with('{') || part == given)
            };
            let paths = document["paths"].as_object().unwrap();
            let mut found = paths.iter().filter(|(template, _)| matches(template));
            if !found.any(|(_, operations)| operations.get(method.to_lowercase()).is_some()) {
                return Err(format!("{service}-service has no operation {method} {path}"));
            }
        }
    }
    Ok(())
}

fn check_script(script: &str) -> Result<(), String> {
    let packages = [tasks::node::WEB, tasks::node::API_CLIENT, tasks::node::CHART_CHECKS];
    let has = |package: &&str| !json(&root().join(package).join("package.json"))["scripts"][script].is_null();
    if packages.iter().any(has) { Ok(()) } else { Err(format!("no package.json has a script {script}")) }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
