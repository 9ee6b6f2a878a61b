"""The chart's engine for the tests: JSON lines in, JSON lines out, until the input ends.

Each line is an object with "do" and its arguments, each answer {"ok": ..} or {"refused": what Helm says}. Anything
else that goes wrong ends the process, with a traceback on standard error.

    lint      values                                                   -> [{severity, path, error}]
    render    values, name, namespace, revision, upgrade, in_cluster   -> {objects: [{template, object}], notes}
    validate  objects                                                  -> [problem]
    cluster   objects                                                  -> null; what `lookup` finds from now on
    read      path                                                     -> the documents of a YAML or TOML file
    toml      text                                                     -> a TOML document
"""

import json
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import helm_python as helm
import yaml

sys.dont_write_bytecode = True  # Nothing is left in the repository.
from objects import problems_of_release

HERE = Path(__file__).parent
VERSIONS = ["1.35", "1.36", "1.37"]


class Loader(yaml.CSafeLoader):
    """YAML as Kubernetes' tools read it: a key given twice is an error, not a choice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{sorted(twice)} given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class Cluster(BaseHTTPRequestHandler):
    """What `lookup` asks of an API server: which kinds there are, and one object by its name."""

    objects = {}
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # One write for each answer: two would wait for each other's acknowledgement.

    def do_GET(self):
        path = self.path.split("?")[0]
        kinds = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {
                "kind": "APIResourceList",
                "groupVersion": "v1",
                "resources": [
                    {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get", "list"]},
                ],
            },
        }
        found = kinds.get(path) or Cluster.objects.get(path)
        nothing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or nothing).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Engine:
    def __init__(self, chart):
        self.path = chart
        self.chart = helm.Chart.load(chart)
        self.config = None
        self.schemas = {}
        self.fine = set()
        self.operators = None

    def lint(self, values):
        report = helm.lint(self.path, values, namespace="shop")
        return [*report["messages"], *({"severity": 3, "path": "", "error": error} for error in report["errors"])]

    def render(self, values, name, namespace, revision, upgrade, in_cluster=False):
        arguments = dict(name=name, namespace=namespace, revision=revision, is_install=not upgrade, is_upgrade=upgrade)
        if in_cluster:
            files = self.config.render(self.chart, values, **arguments)
        else:
            files = self.chart.render(values, **arguments)
        objects, notes = [], ""
        for path, text in sorted(files.items()):
            template = path.removeprefix("jaego/templates/")
            if template == "NOTES.txt":
                notes = text
                continue
            try:
                documents = [document for document in yaml.load_all(text, Loader=Loader) if document]
            except yaml.YAMLError as error:
                raise helm.HelmRenderError(f"{path} is no YAML: {error}\n{text}") from error
            objects += [{"template": template, "object": document} for document in documents]
        return {"objects": objects, "notes": notes}

    def cluster(self, objects):
        if self.config is None:
            server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.config = helm.Config(kube_apiserver=f"http://127.0.0.1:{server.server_port}", namespace="shop")
        Cluster.objects = {
            f"/api/v1/namespaces/{one['metadata']['namespace']}/secrets/{one['metadata']['name']}": one
            for one in objects
            if one["kind"] == "Secret"
        }

    def validate(self, objects):
        found = problems_of_release(objects)
        for one in objects:
            text = json.dumps(one)
            if text in self.fine:
                continue
            problems = self.problems(one)
            if not problems:
                self.fine.add(text)
            found += [f"{one['kind']} {one['metadata']['name']}{problem}" for problem in problems]
        return found

    def problems(self, one):
        if one["apiVersion"].split("/")[0] not in OWN_GROUPS:
            return [f": {problem}" for problem in self.problems_for_operator(one)]
        return [f" in {version}: {problem}" for version in VERSIONS for problem in self.problems_in(version, one)]

    def problems_in(self, version, one):
        """Against Kubernetes' own schemas; unknown fields are problems, too."""
        key = (version, one["kind"], one["apiVersion"])
        if key not in self.schemas:
            self.schemas[key] = self.schema(*key)
        validator = self.schemas[key]
        if validator is None:
            return [f"there is no {one['apiVersion']} {one['kind']}"]
        return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(one)]

    def schema(self, version, kind, api_version):
        """What kubernetes_validate.validate does, but each file is read once: it takes a second for each object."""
        from jsonschema import Draft202012Validator
        from kubernetes_validate.utils import SchemaNotFoundError, schema_contents
        from referencing import Registry, Resource

        group, _, number = api_version.rpartition("/")
        file = "-".join([kind.lower(), *([group.split(".")[0]] if group else []), number])
        folder = f"kubernetes-json-schema/v{version}.0-local-strict"
        if version not in self.schemas:
            definitions = Resource.from_contents(schema_contents(f"{folder}/_definitions.json", version))
            self.schemas[version] = (definitions @ Registry()).crawl()
        try:
            contents = schema_contents(f"{folder}/{file}.json", version)
        except (FileNotFoundError, SchemaNotFoundError):
            return None
        return Draft202012Validator(contents, registry=Resource.from_contents(contents) @ self.schemas[version])

    def problems_for_operator(self, one):
        """Against the schema of an operator's custom resource."""
        if self.operators is None:
            self.operators = subprocess.Popen(
                ["node", HERE / "custom-resources.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        self.operators.stdin.write(json.dumps(one) + "\n")
        self.operators.stdin.flush()
        return json.loads(self.operators.stdout.readline())

    def read(self, path):
        text = Path(path).read_text()
        return [tomllib.loads(text)] if path.endswith(".toml") else [one for one in yaml.load_all(text, Loader=Loader) if one]

    def toml(self, text):
        return tomllib.loads(text)


OWN_GROUPS = ["v1", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", "rbac.authorization.k8s.io"]


def main():
    engine = Engine(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        assert do in ("lint", "render", "validate", "cluster", "read", "toml"), do
        try:
            answer = {"ok": getattr(engine, do)(**request)}
        except helm.HelmError as error:
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)


main()
