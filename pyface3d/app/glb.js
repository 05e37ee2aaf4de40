// What a GLB file holds, as arrays ready to draw: file, matrices, geometry. viewer.js draws them.
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
