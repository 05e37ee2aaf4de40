// A small WebGL2 viewer of one GLB file: no library, no network. Needs glb.js. Read top to bottom: drawing, controls.
"use strict";

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
