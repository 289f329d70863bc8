// Points on a canvas: drawn by WebGL where a graphics card does it, else pixel by pixel.
//
// Either painter draws 100,000 points in a few milliseconds. A point lies in the unit square, has a place in the palette
// and a group: 1 if it is drawn in full, 0 if it is drawn faintly, below the others.

const MAX_COLOURS = 64;
const FAINT = 0.18;
const VERTEX = `
  attribute vec2 at;
  attribute vec2 kind;
  uniform vec2 scale, shift;
  uniform float size, group;
  uniform vec4 palette[${MAX_COLOURS}];
  varying vec4 colour;
  void main() {
    gl_Position = kind.y == group ? vec4(at * scale + shift, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
    gl_PointSize = size;
    colour = palette[int(kind.x)];
  }`;
const FRAGMENT = `
  precision highp float;
  uniform float diameter, alpha;
  varying vec4 colour;
  void main() {
    float inside = clamp(diameter * 0.5 - length(gl_PointCoord - 0.5) * diameter + 0.5, 0.0, 1.0) * alpha;
    gl_FragColor = vec4(colour.rgb * inside, inside);
  }`;

const isSoftware = (gl) => {
  const known = gl.getExtension("WEBGL_debug_renderer_info"); // not all browsers keep what they promise by the caveat
  return /swiftshader|llvmpipe|softpipe|basic render/i.test(known ? gl.getParameter(known.UNMASKED_RENDERER_WEBGL) : "");
};

// Returns null where there is no graphics card: software is slower at WebGL than at pixels.
const cardPainter = (canvas) => {
  const gl = canvas.getContext("webgl", { antialias: false, failIfMajorPerformanceCaveat: true });
  if (!gl || isSoftware(gl)) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const place = (name) => gl.getUniformLocation(program, name);
  const places = Object.fromEntries(["scale", "shift", "size", "diameter", "group", "alpha", "palette"].map((name) => [name, place(name)]));
  const column = (name, type) => {
    const buffer = gl.createBuffer();
    return (values) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(gl.getAttribLocation(program, name));
      gl.vertexAttribPointer(gl.getAttribLocation(program, name), 2, type, false, 0, 0);
    };
  };
  const setAt = column("at", gl.FLOAT);
  let num = 0;
  return {
    maxRatio: 4,
    setAt: (at) => ((num = at.length / 2), setAt(at)),
    setKinds: column("kind", gl.UNSIGNED_BYTE),
    setPalette: (palette) => gl.uniform4fv(places.palette, palette.flatMap((colour) => [...colour.map((part) => part / 255), 1])),
    draw: ({ scale, shift, size, groups }) => {
      const { width, height } = canvas;
      gl.viewport(0, 0, width, height);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(places.scale, (2 * scale[0]) / width, (-2 * scale[1]) / height);
      gl.uniform2f(places.shift, (2 * shift[0]) / width - 1, 1 - (2 * shift[1]) / height);
      gl.uniform1f(places.size, size + 1);
      gl.uniform1f(places.diameter, size + 1);
      for (const group of groups) {
        gl.uniform1f(places.group, group);
        gl.uniform1f(places.alpha, group ? 1 : FAINT);
        gl.drawArrays(gl.POINTS, 0, num);
      }
    },
  };
};

const pixelPainter = (canvas) => {
  const pen = canvas.getContext("2d");
  let at, kinds, palette, image, pixels;
  return {
    maxRatio: 1.5,
    setAt: (values) => (at = values),
    setKinds: (values) => (kinds = values),
    setPalette: (colours) => (palette = colours),
    draw: ({ scale: [along, down], shift: [left, top], size, groups }) => {
      const { width, height } = canvas;
      if (image?.width !== width || image?.height !== height) {
        image = pen.createImageData(width, height);
        pixels = new Uint32Array(image.data.buffer);
      }
      pixels.fill(0);
      const radius = size / 2;
      const reach = Math.floor(radius);
      const disc = []; // its pixels, as seen from its middle
      for (let y = -reach; y <= reach; y++)
        for (let x = -reach; x <= reach; x++) if (x * x + y * y <= radius * radius) disc.push(y * width + x);
      for (const group of groups) {
        const opaque = Math.round((group ? 1 : FAINT) * 255) << 24;
        const inks = Uint32Array.from(palette, ([red, green, blue]) => (opaque | (blue << 16) | (green << 8) | red) >>> 0);
        for (let i = 0; i < at.length; i += 2) {
          if (kinds[i + 1] !== group) continue;
          const x = (at[i] * along + left) | 0;
          const y = (at[i + 1] * down + top) | 0;
          if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
          const ink = inks[kinds[i]];
          const middle = y * width + x;
          for (let k = 0; k < disc.length; k++) pixels[middle + disc[k]] = ink;
        }
      }
      pen.putImageData(image, 0, 0);
    },
  };
};
