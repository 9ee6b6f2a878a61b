"""What an API server refuses although it fits the schemas: rules of names and labels, and references within a release."""

import base64
import re

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
PORT = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def problems_of_release(objects):
    found = []
    seen = set()
    for one in objects:
        kind, metadata = one["kind"], one["metadata"]
        name = f"{kind} {metadata['name']}"
        if (kind, metadata.get("namespace"), metadata["name"]) in seen:
            found.append(f"{name}: there are two of them")
        seen.add((kind, metadata.get("namespace"), metadata["name"]))
        found += [f"{name}: {problem}" for problem in of_object(one)]
    return found


def of_object(one):
    kind, metadata = one["kind"], one["metadata"]
    # The longest name of a pod's label is a Job's or a StatefulSet's own name: at most 63 with what is added.
    pattern, most = (SERVICE, 63) if kind == "Service" else (LABEL, 52) if kind == "StatefulSet" else (LABEL, 63) if kind == "Job" else (SUBDOMAIN, 253)
    if not pattern.fullmatch(metadata["name"]) or len(metadata["name"]) > most:
        yield f"the name is none for a {kind}"
    yield from of_metadata(metadata)
    if kind in ("Secret", "ConfigMap"):
        yield from of_data(kind, one)
    template = one if kind == "Pod" else one.get("spec", {}).get("template") if kind in ("Deployment", "StatefulSet", "Job") else None
    if template:
        yield from of_metadata(template["metadata"])
        selector = one["spec"].get("selector", {}).get("matchLabels", {})
        labels = template["metadata"].get("labels", {})
        if any(labels.get(key) != value for key, value in selector.items()):
            yield "its own selector does not match its pods"
        claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
        yield from of_pod(template["spec"], claims)


def of_metadata(metadata):
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str):
            yield f"label {key} is no text: {value!r}"
        elif not KEY.fullmatch(key) or not VALUE.fullmatch(value) or len(value) > 63:
            yield f"label {key}: {value!r} is none"
    for key, value in (metadata.get("annotations") or {}).items():
        if not isinstance(value, str):
            yield f"annotation {key} is no text: {value!r}"
        elif not KEY.fullmatch(key):
            yield f"annotation {key} is none"


def of_data(kind, one):
    for key, value in (one.get("data") or {}).items():
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            yield f"data.{key} is no key"
        if not isinstance(value, str):
            yield f"data.{key} is no text: {value!r}"
        elif kind == "Secret":
            try:
                base64.b64decode(value, validate=True)
            except ValueError:
                yield f"data.{key} is not base64"


def of_pod(spec, claims):
    volumes = [volume["name"] for volume in spec.get("volumes") or []]
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    names = [container["name"] for container in containers]
    for what, given in (("volumes", volumes), ("containers", names)):
        if len(set(given)) != len(given):
            yield f"{what} have the same name: {given}"
    for container in containers:
        if not LABEL.fullmatch(container["name"]) or len(container["name"]) > 63:
            yield f"container {container['name']}: the name is none"
        ports = [port["name"] for port in container.get("ports", [])]
        if len(set(ports)) != len(ports) or any(not PORT.fullmatch(port) or len(port) > 15 for port in ports):
            yield f"ports {ports} are none"
        mounts = container.get("volumeMounts") or []
        places = [mount["mountPath"] for mount in mounts]
        if len(set(places)) != len(places):
            yield f"two mounts at one place: {places}"
        for mount in mounts:
            if mount["name"] not in [*volumes, *claims]:
                yield f"there is no volume {mount['name']}"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            for how in ("httpGet", "tcpSocket"):
                port = container.get(probe, {}).get(how, {}).get("port")
                if isinstance(port, str) and port not in ports:
                    yield f"{probe}: there is no port {port}"
        for variable in container.get("env") or []:
            if not isinstance(variable.get("value", ""), str):
                yield f"{variable['name']} is no text"
