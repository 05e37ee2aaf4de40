// A small WebGL2 viewer of one GLB file: no library, no network. Read top to bottom: file, geometry, drawing, controls.
"use strict";

// ---- the file -------------------------------------------------------------------------------------------------

const COMPONENTS = { 5120: Int8Array, 5121: Uint8Array, 5122: Int16Array, 5123: Uint16Array, 5125: Uint32Array,
  5126: Float32Array };
const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };

function readGlb(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const head = new DataView(bytes.buffer);
  if (head.getUint32(0, true) !== 0x46546c67) throw new Error("this is not a GLB file");
  const length = head.getUint32(12, true);
  const document = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + length)));
  const binary = bytes.subarray(28 + length);
  const unknown = (document.extensionsRequired || []).filter((name) => name !== "KHR_materials_unlit");
  if (unknown.length) throw new Error(`the file needs ${unknown.join(", ")}, which this viewer does not know`);
  return { document, binary };
}

function viewBytes({ document, binary }, index) {
  const view = document.bufferViews[index];
  return { bytes: binary, begin: binary.byteOffset + (view.byteOffset || 0), length: view.byteLength,
    stride: view.byteStride };
}

function numbers(file, index, offset, componentType, width, count) {
  const { bytes, begin, stride } = viewBytes(file, index);
  const Kind = COMPONENTS[componentType], size = Kind.BYTES_PER_ELEMENT, row = width * size;
  const start = begin + (offset || 0);
  if (!stride || stride === row) return new Kind(bytes.buffer.slice(start, start + count * row));
  const values = new Kind(count * width);
  for (let i = 0; i < count; i++) {
    const part = bytes.buffer.slice(start + i * stride, start + i * stride + row);
    values.set(new Kind(part), i * width);
  }
  return values;
}

// Dense values of an accessor as floats (integers too: indices stay exact below 2^24 and are read as such elsewhere).
function accessorValues(file, index, keepIntegers = false) {
  const accessor = file.document.accessors[index], width = WIDTHS[accessor.type];
  const Kind = COMPONENTS[accessor.componentType];
  let values = accessor.bufferView === undefined ? new Kind(accessor.count * width)
    : numbers(file, accessor.bufferView, accessor.byteOffset, accessor.componentType, width, accessor.count);
  for (const [row, part] of sparseRows(file, accessor, width)) values.set(part, row * width);
  if (!keepIntegers && !(values instanceof Float32Array)) {
    const scale = accessor.normalized ? 1 / (2 ** (8 * Kind.BYTES_PER_ELEMENT - (Kind.name[0] === "I" ? 1 : 0)) - 1) : 1;
    values = Float32Array.from(values, (value) => value * scale);
  }
  return { values, width, count: accessor.count };
}

function sparseRows(file, accessor, width) {
  if (!accessor.sparse) return [];
  const { count, indices, values } = accessor.sparse;
  const rows = numbers(file, indices.bufferView, indices.byteOffset, indices.componentType, 1, count);
  const parts = numbers(file, values.bufferView, values.byteOffset, accessor.componentType, width, count);
  return Array.from(rows, (row, k) => [row, parts.subarray(k * width, (k + 1) * width)]);
}

// A morph target as (rows, values): only the vertices that move.
function displacement(file, index) {
  const { values, count } = accessorValues(file, index);
  const rows = [];
  for (let i = 0; i < count; i++) if (values[3 * i] || values[3 * i + 1] || values[3 * i + 2]) rows.push(i);
  const moved = new Float32Array(rows.length * 3);
  rows.forEach((row, k) => moved.set(values.subarray(3 * row, 3 * row + 3), 3 * k));
  return { rows: Uint32Array.from(rows), moved };
}

// ---- matrices, column-major -----------------------------------------------------------------------------------

function multiply(a, b) {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++)
    for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
  return out;
}

function nodeMatrix(node) {
  if (node.matrix) return Float32Array.from(node.matrix);
  const [x, y, z, w] = node.rotation || [0, 0, 0, 1], [sx, sy, sz] = node.scale || [1, 1, 1];
  const [tx, ty, tz] = node.translation || [0, 0, 0];
  return Float32Array.of(
    sx * (1 - 2 * (y * y + z * z)), sx * 2 * (x * y + w * z), sx * 2 * (x * z - w * y), 0,
    sy * 2 * (x * y - w * z), sy * (1 - 2 * (x * x + z * z)), sy * 2 * (y * z + w * x), 0,
    sz * 2 * (x * z + w * y), sz * 2 * (y * z - w * x), sz * (1 - 2 * (x * x + y * y)), 0, tx, ty, tz, 1);
}

function apply(matrix, x, y, z, w) {
  return [0, 1, 2].map((r) => matrix[r] * x + matrix[4 + r] * y + matrix[8 + r] * z + matrix[12 + r] * w);
}

// ---- geometry -------------------------------------------------------------------------------------------------

const IDENTITY = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1);

function collectParts(file) {
  const { document } = file, parts = [];
  const visit = (index, parent, depth) => {
    const node = document.nodes[index], matrix = multiply(parent, nodeMatrix(node));
    if (depth > 64) throw new Error("the file's nodes are nested too deeply");
    if (node.mesh !== undefined) {
      const mesh = document.meshes[node.mesh];
      mesh.primitives.forEach((primitive) => {
        if ((primitive.mode ?? 4) === 4) parts.push(readPart(file, mesh, primitive, matrix));
      });
    }
    (node.children || []).forEach((child) => visit(child, matrix, depth + 1));
  };
  const scene = (document.scenes || [])[document.scene || 0];
  (scene ? scene.nodes : [0]).forEach((index) => visit(index, IDENTITY, 0));
  if (!parts.length) throw new Error("the file holds no triangles");
  return parts;
}

function readPart(file, mesh, primitive, matrix) {
  const attribute = (name) =>
    primitive.attributes[name] === undefined ? null : accessorValues(file, primitive.attributes[name]);
  const position = attribute("POSITION"), count = position.count, verts = position.values;
  const faces = primitive.indices === undefined ? Uint32Array.from({ length: count }, (_, i) => i)
    : Uint32Array.from(accessorValues(file, primitive.indices, true).values);
  const normals = attribute("NORMAL")?.values || computedNormals(verts, faces);
  for (let i = 0; i < count; i++) { // into the scene
    verts.set(apply(matrix, verts[3 * i], verts[3 * i + 1], verts[3 * i + 2], 1), 3 * i);
    normals.set(apply(matrix, normals[3 * i], normals[3 * i + 1], normals[3 * i + 2], 0), 3 * i);
  }
  const names = mesh.extras?.targetNames || [];
  const morphs = (primitive.targets || []).map((target, k) => {
    const morph = { name: names[k] || `morph ${k}`, position: null, normal: null };
    if (target.POSITION !== undefined) morph.position = turned(displacement(file, target.POSITION), matrix);
    if (target.NORMAL !== undefined) morph.normal = turned(displacement(file, target.NORMAL), matrix);
    return morph;
  });
  const colors = attribute("COLOR_0");
  const material = primitive.material === undefined ? {} : file.document.materials[primitive.material];
  return { count, faces, morphs, weights: mesh.weights || morphs.map(() => 0),
    base: { verts, normals }, shown: { verts: verts.slice(), normals: normals.slice() },
    uvs: attribute("TEXCOORD_0")?.values, colors, source: attribute("_SOURCE")?.values,
    confidence: attribute("_CONFIDENCE")?.values, surface: material.pbrMetallicRoughness || {},
    doubleSided: material.doubleSided ?? false };
}

function turned(displacement, matrix) {
  const { rows, moved } = displacement;
  for (let k = 0; k < rows.length; k++)
    moved.set(apply(matrix, moved[3 * k], moved[3 * k + 1], moved[3 * k + 2], 0), 3 * k);
  return displacement;
}

function computedNormals(verts, faces) {
  const normals = new Float32Array(verts.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => 3 * faces[f + k]);
    const u = [0, 1, 2].map((k) => verts[b + k] - verts[a + k]), v = [0, 1, 2].map((k) => verts[c + k] - verts[a + k]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) normals[corner + k] += n[k];
  }
  return normals;
}

function applyMorphs(part, weights) {
  for (const [key, name] of [["verts", "position"], ["normals", "normal"]]) {
    const values = part.shown[key];
    values.set(part.base[key]);
    part.morphs.forEach((morph, k) => {
      const weight = weights[k], move = morph[name];
      if (!weight || !move) return;
      for (let i = 0; i < move.rows.length; i++)
        for (let axis = 0; axis < 3; axis++) values[3 * move.rows[i] + axis] += weight * move.moved[3 * i + axis];
    });
  }
}

// ---- drawing --------------------------------------------------------------------------------------------------

const VERTEX_SHADER = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 uv;
layout(location = 3) in vec4 color;
layout(location = 4) in vec2 provenance;
uniform mat4 view, projection;
out vec3 vNormal; out vec2 vUv; out vec4 vColor; out vec2 vProvenance;
void main() {
  vNormal = mat3(view) * normal; vUv = uv; vColor = color; vProvenance = provenance;
  gl_Position = projection * view * vec4(position, 1.0);
}`;
const FRAGMENT_SHADER = `#version 300 es
precision highp float;
in vec3 vNormal; in vec2 vUv; in vec4 vColor; in vec2 vProvenance;
uniform sampler2D picture; uniform vec4 tint; uniform int mode;
out vec4 result;
vec3 clay(vec3 n, vec3 albedo) {
  float light = 0.2 + 0.75 * max(dot(n, normalize(vec3(-0.5, 0.6, 0.8))), 0.0)
    + 0.28 * max(dot(n, normalize(vec3(0.8, 0.1, 0.6))), 0.0) + 0.12 * max(dot(n, normalize(vec3(0.0, -0.9, 0.5))), 0.0);
  return albedo * light;
}
vec3 sourceColor(float source) {
  if (source < 0.5) return vec3(0.35, 0.36, 0.38);
  if (source < 1.5) return vec3(0.10, 0.55, 0.30);
  if (source < 2.5) return vec3(0.13, 0.35, 0.75);
  return vec3(0.85, 0.45, 0.06);
}
void main() {
  vec3 n = normalize(gl_FrontFacing ? vNormal : -vNormal);
  vec3 albedo = (texture(picture, vUv) * tint * vColor).rgb, linear;
  if (mode == 0) linear = albedo;
  else if (mode == 1) linear = clay(n, albedo) * 1.1;
  else if (mode == 2) linear = clay(n, vec3(0.62, 0.60, 0.58));
  else if (mode == 3) linear = clay(n, sourceColor(vProvenance.x));
  else linear = clay(n, mix(vec3(0.55, 0.10, 0.08), vec3(0.12, 0.60, 0.30), clamp(vProvenance.y, 0.0, 1.0)));
  vec3 low = linear * 12.92, high = 1.055 * pow(max(linear, 0.0031308), vec3(1.0 / 2.4)) - 0.055;
  result = vec4(mix(high, low, lessThanEqual(linear, vec3(0.0031308))), 1.0);
}`;

function createProgram(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}

function upload(gl, part) {
  part.vao = gl.createVertexArray();
  gl.bindVertexArray(part.vao);
  const attribute = (slot, values, width, usage) => {
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, usage || gl.STATIC_DRAW);
    gl.enableVertexAttribArray(slot);
    gl.vertexAttribPointer(slot, width, gl.FLOAT, false, 0, 0);
    return buffer;
  };
  part.buffers = { verts: attribute(0, part.shown.verts, 3, gl.DYNAMIC_DRAW),
    normals: attribute(1, part.shown.normals, 3, gl.DYNAMIC_DRAW) };
  if (part.uvs) attribute(2, part.uvs, 2);
  if (part.colors) attribute(3, part.colors.values, part.colors.width);
  else gl.vertexAttrib4f(3, 1, 1, 1, 1);
  if (part.source || part.confidence) {
    const both = new Float32Array(2 * part.count);
    for (let i = 0; i < part.count; i++) both.set([part.source?.[i] ?? 0, part.confidence?.[i] ?? 0], 2 * i);
    attribute(4, both, 2);
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, part.faces, gl.STATIC_DRAW);
}

async function loadTexture(gl, file, surface) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  const index = surface.baseColorTexture?.index;
  const image = index === undefined ? null : file.document.images[file.document.textures[index].source];
  if (!image || image.bufferView === undefined) {
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array([255, 255, 255, 255]));
    return texture;
  }
  const { bytes, begin, length } = viewBytes(file, image.bufferView);
  const blob = new Blob([bytes.buffer.slice(begin, begin + length)], { type: image.mimeType });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.SRGB8_ALPHA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, axis, gl.CLAMP_TO_EDGE);
  return texture;
}

function bounds(parts) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const { base, count } of parts) for (let i = 0; i < count; i++) for (let k = 0; k < 3; k++) {
    low[k] = Math.min(low[k], base.verts[3 * i + k]);
    high[k] = Math.max(high[k], base.verts[3 * i + k]);
  }
  return { center: low.map((value, k) => (value + high[k]) / 2),
    radius: Math.hypot(...low.map((value, k) => high[k] - value)) / 2 || 1 };
}

// Column-major: orbit around the centre by yaw and pitch, then step back.
function cameraMatrices({ yaw, pitch, zoom }, { center, radius }, aspect) {
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  const turn = Float32Array.of(cy, sp * sy, -cp * sy, 0, 0, cp, sp, 0, sy, -sp * cy, cp * cy, 0, 0, 0, 0, 1);
  const half = Math.tan(Math.PI / 15), distance = (radius * 0.95) / half / zoom / Math.min(1, aspect);
  const shift = apply(turn, -center[0], -center[1], -center[2], 0);
  turn.set([shift[0], shift[1], shift[2] - distance], 12);
  const near = Math.max(distance - 2 * radius, distance * 0.01), far = distance + 2 * radius;
  const projection = Float32Array.of(1 / half / aspect, 0, 0, 0, 0, 1 / half, 0, 0,
    0, 0, (near + far) / (near - far), -1, 0, 0, (2 * near * far) / (near - far), 0);
  return { view: turn, projection };
}

// ---- controls -------------------------------------------------------------------------------------------------

const MODES = ["texture", "texture under light", "clay", "what was seen", "confidence"];
const LEGENDS = {
  "what was seen": [["#9fa1a4", "from the model"], ["#5ac394", "seen"], ["#66a0e0", "mirrored"], ["#ecb445", "recovered"]],
  confidence: [["#c4594f", "none"], ["#61cb94", "full"]],
};

async function start() {
  const element = (id) => document.getElementById(id);
  const file = readGlb(element("glb").textContent);
  const canvas = document.querySelector("canvas");
  const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
  if (!gl) throw new Error("this browser offers no WebGL 2");
  const parts = collectParts(file), extent = bounds(parts), program = createProgram(gl);
  for (const part of parts) {
    upload(gl, part);
    part.texture = await loadTexture(gl, file, part.surface);
  }
  const uniform = Object.fromEntries(["view", "projection", "picture", "tint", "mode"]
    .map((name) => [name, gl.getUniformLocation(program, name)]));
  const rig = parts.find((part) => part.morphs.length) || { morphs: [], weights: [] };
  const hasColor = parts.some((part) => part.colors || part.surface.baseColorTexture);
  const hasSource = parts.some((part) => part.source);
  const state = { yaw: 0, pitch: 0, zoom: 1, mode: hasColor ? 0 : 2, weights: [...rig.weights], playing: false };

  // Settings may come behind the address: viewer.html#yaw=30&mode=2&jawOpen=1 (angles in degrees).
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    const index = rig.morphs.findIndex((morph) => morph.name === key);
    if (index >= 0) state.weights[index] = Number(value);
    else if (key === "yaw" || key === "pitch") state[key] = (Number(value) * Math.PI) / 180;
    else if (key === "zoom" || key === "mode") state[key] = Number(value);
  }

  let queued = false;
  const redraw = () => { if (!queued) { queued = true; requestAnimationFrame(draw); } };
  const draw = (now) => {
    queued = false;
    if (state.playing) playStep(now);
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.useProgram(program);
    const { view, projection } = cameraMatrices(state, extent, canvas.width / canvas.height);
    gl.uniformMatrix4fv(uniform.view, false, view);
    gl.uniformMatrix4fv(uniform.projection, false, projection);
    gl.uniform1i(uniform.mode, state.mode);
    gl.uniform1i(uniform.picture, 0);
    for (const part of parts) {
      gl.uniform4fv(uniform.tint, part.surface.baseColorFactor || [1, 1, 1, 1]);
      gl.bindTexture(gl.TEXTURE_2D, part.texture);
      gl.bindVertexArray(part.vao);
      if (part.doubleSided) gl.disable(gl.CULL_FACE);
      else gl.enable(gl.CULL_FACE);
      gl.drawElements(gl.TRIANGLES, part.faces.length, gl.UNSIGNED_INT, 0);
    }
    if (state.playing) redraw();
  };
  const morph = () => {
    for (const part of parts) {
      if (!part.morphs.length) continue;
      applyMorphs(part, part === rig ? state.weights : part.morphs.map((entry) => weightOf(entry.name)));
      for (const key of ["verts", "normals"]) {
        gl.bindBuffer(gl.ARRAY_BUFFER, part.buffers[key]);
        gl.bufferSubData(gl.ARRAY_BUFFER, 0, part.shown[key]);
      }
    }
    rows.forEach(({ input, output }, k) => {
      input.value = state.weights[k];
      output.textContent = state.weights[k].toFixed(2);
    });
    redraw();
  };
  const weightOf = (name) => state.weights[rig.morphs.findIndex((entry) => entry.name === name)] || 0;

  const rows = rig.morphs.map(({ name }, k) => {
    const label = document.createElement("label"), input = document.createElement("input");
    const output = document.createElement("output");
    Object.assign(input, { type: "range", min: 0, max: 1, step: 0.01 });
    input.addEventListener("input", () => { state.playing = false; state.weights[k] = Number(input.value); morph(); });
    label.append(name, input, output);
    element("morphs").append(label);
    return { name, label, input, output };
  });
  element("expression").hidden = !rows.length;
  element("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    rows.forEach(({ name, label }) => { label.style.display = name.toLowerCase().includes(wanted) ? "" : "none"; });
  });
  const setAll = (weights) => { state.playing = false; state.weights = [...weights]; morph(); };
  element("neutral").addEventListener("click", () => setAll(rig.weights.map(() => 0)));
  element("fitted").addEventListener("click", () => setAll(rig.weights));
  element("play").addEventListener("click", () => { state.playing = !state.playing; redraw(); });
  const playStep = (now) => { // one expression after the other, 0.9 s each
    const place = now / 900, current = Math.floor(place) % rows.length;
    state.weights = rig.weights.map((_, k) => (k === current ? Math.sin((place % 1) * Math.PI) : 0));
    morph();
  };

  const select = element("mode");
  MODES.forEach((name, k) => {
    if ((k < 2 && !hasColor) || (k > 2 && !hasSource)) return;
    select.add(new Option(name, k, false, k === state.mode));
  });
  const showLegend = () => {
    element("legend").replaceChildren(...(LEGENDS[MODES[state.mode]] || []).map(([color, name]) => {
      const entry = document.createElement("span"), dot = document.createElement("i");
      dot.style.background = color;
      entry.append(dot, name);
      return entry;
    }));
  };
  select.addEventListener("change", () => { state.mode = Number(select.value); showLegend(); redraw(); });
  showLegend();

  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]) || 1; };
    const old = pointers.size === 2 ? spread() : 0;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (old) state.zoom = limit(state.zoom * (spread() / old), 0.3, 12);
    else {
      state.yaw += (event.clientX - before[0]) * 0.008;
      state.pitch = limit(state.pitch + (event.clientY - before[1]) * 0.008, -1.5, 1.5);
    }
    redraw();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => pointers.delete(e.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    state.zoom = limit(state.zoom * Math.exp(-event.deltaY * 0.001), 0.3, 12);
    redraw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { Object.assign(state, { yaw: 0, pitch: 0, zoom: 1 }); redraw(); });
  // At once rather than with the next frame: until then the old picture would be shown stretched.
  new ResizeObserver(() => draw(performance.now())).observe(canvas);

  const count = (key) => parts.reduce((sum, part) => sum + key(part), 0).toLocaleString("en");
  element("facts").textContent = `${count((p) => p.count)} vertices · ${count((p) => p.faces.length / 3)} triangles`
    + (rows.length ? ` · ${rows.length} expressions` : "");
  morph();
}

function limit(value, low, high) { return Math.min(high, Math.max(low, value)); }

start().catch((error) => {
  const fault = document.getElementById("fault");
  fault.textContent = `This file cannot be shown: ${error.message}`;
  fault.hidden = false;
});
