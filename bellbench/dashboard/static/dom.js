// Making elements. Text always goes in as text, never as markup: what a run says cannot become part of the page.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/** Sets text only when it is another, so that a screen reader is not told the same again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function byId(id) {
  return document.getElementById(id);
}

/** One child element for each key, made once. */
export class Keyed {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.items = new Map();
  }

  get(key) {
    if (!this.items.has(key)) {
      const item = this.make(key);
      this.items.set(key, item);
      this.parent.append(item.root);
    }
    return this.items.get(key);
  }

  /** Puts the elements that there are into the order of these keys. */
  arrange(keys) {
    const roots = keys.filter((key) => this.items.has(key)).map((key) => this.items.get(key).root);
    if (roots.some((root, n) => root !== this.parent.children[n])) this.parent.append(...roots);
  }

  clear() {
    for (const item of this.items.values()) item.root.remove();
    this.items.clear();
  }
}
