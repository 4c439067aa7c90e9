// Shows /api/v1/openapi.json. Everything is put in as text, never as markup.
"use strict";

const make = (name, text, kind) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

const follow = (root, value) =>
  value && value.$ref
    ? value.$ref.slice(2).split("/").reduce((at, name) => at[name], root)
    : value;

const nameOf = (value) => (value && value.$ref ? value.$ref.split("/").pop() : "");

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return nameOf(schema);
  const all = schema.anyOf || schema.oneOf;
  if (all) return [...new Set(all.map(typeOf))].join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items)}[]`;
  return [schema.type].flat().join(" | ") + (schema.maxLength ? ` ≤ ${schema.maxLength}` : "");
}

function rows(list) {
  const table = make("table");
  for (const [name, type, text] of list) {
    const row = table.insertRow();
    row.append(make("td"), make("td", type), make("td", text || ""));
    row.cells[0].append(make("code", name));
  }
  return table;
}

function fields(schema) {
  const required = schema.required || [];
  return Object.entries(schema.properties || {}).map(([name, field]) => [
    required.includes(name) ? `${name} *` : name,
    typeOf(field),
    field.description,
  ]);
}

function operation(root, path, method, told) {
  const details = make("details");
  const summary = make("summary");
  summary.append(
    make("span", method.toUpperCase(), `method ${method}`),
    make("span", path, "path"),
    make("span", told.summary || "", "what"),
  );
  details.append(summary);
  details.dataset.text = `${method} ${path} ${told.operationId} ${told.summary}`.toLowerCase();
  // The rest is made when it is looked at: there is a lot of it.
  details.addEventListener("toggle", () => fill(root, details, told), { once: true });
  return details;
}

function fill(root, details, told) {
  const given = (told.parameters || []).map((p) => follow(root, p));
  if (given.length) {
    details.append(make("h4", "Parameters"));
    details.append(rows(given.map((p) => [
      p.required ? `${p.name} *` : p.name,
      `${p.in}: ${typeOf(p.schema)}`,
      p.description || (p.schema && p.schema.description),
    ])));
  }
  const body = told.requestBody && Object.entries(told.requestBody.content)[0];
  if (body) {
    details.append(make("h4", `Body: ${body[0]}`), rows(fields(follow(root, body[1].schema))));
  }
  details.append(make("h4", "Answers"));
  details.append(rows(Object.entries(told.responses).map(([status, outcome]) => {
    const content = follow(root, outcome).content || {};
    const [kind, within] = Object.entries(content)[0] || ["", {}];
    return [status, `${kind} ${typeOf(within.schema)}`, follow(root, outcome).description];
  })));
  const done = Object.values(told.responses)[0];
  const answer = Object.values(follow(root, done).content || {})[0];
  const schema = answer && answer.schema;
  const shown = follow(root, schema && schema.type === "array" ? schema.items : schema);
  if (shown && shown.properties) details.append(make("h4", nameOf(schema) || "Fields"), rows(fields(shown)));
}

async function show() {
  const root = await (await fetch("/api/v1/openapi.json")).json();
  document.getElementById("version").textContent = root.info.version;
  const main = document.getElementById("operations");
  main.replaceChildren();
  const groups = new Map(root.tags.map((tag) => [tag.name, make("section")]));
  for (const [path, methods] of Object.entries(root.paths)) {
    for (const [method, told] of Object.entries(methods)) {
      const group = groups.get(told.tags[0]);
      if (!group.children.length) group.append(make("h2", told.tags[0]));
      group.append(operation(root, path, method, told));
    }
  }
  main.append(...groups.values());
  document.getElementById("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const one of main.querySelectorAll("details")) {
      one.hidden = !words.every((word) => one.dataset.text.includes(word));
    }
  });
}

show().catch((error) => {
  document.getElementById("operations").replaceChildren(make("p", `It could not be read: ${error}`));
});
