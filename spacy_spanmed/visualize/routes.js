// Where the lines of relations run: between the lines of the text and in its margins, never through
// words. Positions come from the rendered boxes, because the text wraps.
const PITCH = 15, MARGIN = 32;  // px between parallel lines; px beside the text
const pen = document.createElement("canvas").getContext("2d");

// Give intervals lanes so that none overlap, in the order given. Returns the number of lanes.
const assignLanes = (items, apart) => {
  const lanes = [];
  for (const item of items) {
    const isFree = (x) => item.hi + apart < x.lo || item.lo > x.hi + apart;
    let lane = lanes.findIndex((taken) => taken.every(isFree));
    if (lane < 0) lane = lanes.push([]) - 1;
    lanes[lane].push(item);
    item.lane = lane;
  }
  return lanes.length;
};

const groupBy = (items, key) => {
  const groups = new Map();
  for (const item of items) {
    if (!groups.has(key(item))) groups.set(key(item), []);
    groups.get(key(item)).push(item);
  }
  return groups;
};

// A path through points, at right angles, with round corners.
const roundPath = (points) => {
  let path = `M${points[0]}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [[ax, ay], [x, y], [bx, by]] = points.slice(i - 1, i + 2);
    const before = Math.abs(x - ax) + Math.abs(y - ay), after = Math.abs(bx - x) + Math.abs(by - y);
    const r = Math.min(6, before / 2, after / 2);
    const toA = [x - Math.sign(x - ax) * r, y - Math.sign(y - ay) * r];
    const toB = [x + Math.sign(bx - x) * r, y + Math.sign(by - y) * r];
    path += `L${toA}Q${x},${y} ${toB}`;
  }
  return `${path}L${points[points.length - 1]}`;
};

// Move two ends apart, within their mentions, to make room for a label between them.
const spread = (one, other, room) => {
  const [a, b] = one.x <= other.x ? [one, other] : [other, one];
  const lack = room - (b.x - a.x);
  const spareA = a.isAlone ? Math.max(0, a.x - a.left - 8) : 0;
  const spareB = b.isAlone ? Math.max(0, b.left + b.width - 8 - b.x) : 0;
  if (lack <= 0 || spareA + spareB === 0) return;
  const share = Math.min(1, lack / (spareA + spareB));
  a.x -= spareA * share;
  b.x += spareB * share;
};

// Put a label where the fewest other lines cross its own.
const placeLabel = (part, ends, left, width) => {
  const crossing = ends.filter((end) => end.part.gap === part.gap && end.part !== part
    && (end.down ? end.part.y > part.y : end.part.y < part.y)).map((end) => end.x);
  const size = part.size, span = Math.abs(part.b - part.a);
  const shares = span > size + 16 ? [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8] : [0.5];
  let best = null;
  for (const share of shares) {
    let x = part.a + (part.b - part.a) * share;
    const [lo, hi] = [Math.min(part.a, part.b), Math.max(part.a, part.b)];
    if (shares.length > 1) x = Math.min(Math.max(x, lo + size / 2 + 8), hi - size / 2 - 8);
    x = Math.min(Math.max(x, left - MARGIN + size / 2), left + width + MARGIN - size / 2);
    const cost = crossing.filter((at) => Math.abs(at - x) < size / 2 + 2).length;
    if (!best || cost < best.cost) best = { cost, x };
  }
  return { x: best.x, y: part.y, width: size };
};

// Find the way of each line. Gap i is the space above line i of the text: within it, lines run
// side by side in lanes. Neighbouring lines of text share a gap; others are joined in a margin.
const route = (items, canvas, text) => {
  const frame = canvas.getBoundingClientRect();
  const box = text.getBoundingClientRect();
  const style = getComputedStyle(text), height = parseFloat(style.lineHeight);
  const top = box.top - frame.top, left = box.left - frame.left, width = box.width;
  pen.font = `600 11px ${style.fontFamily}`;
  const place = (mark) => {
    const [rect] = [...mark.getClientRects()].sort((a, b) => b.width - a.width);
    const centre = rect.top + rect.height / 2 - frame.top;
    return {
      line: Math.floor((centre - top) / height), left: rect.left - frame.left, width: rect.width,
      x: rect.left + rect.width / 2 - frame.left, top: rect.top - frame.top - 1,
      bottom: rect.bottom - frame.top + 1,
    };
  };
  const ends = [], parts = [], verticals = [];
  const lines = items.map((item) => {
    const head = { mark: item.head, ...place(item.head) };
    const tail = { mark: item.tail, ...place(item.tail) };
    const [upper, lower] = head.line <= tail.line ? [head, tail] : [tail, head];
    const rows = lower.line - upper.line;
    upper.down = rows > 0;
    const line = { item, head, tail, upper, lower, rows };
    const middle = left + width / 2;
    line.side = rows < 2 ? 0 : (head.x + tail.x) / 2 < middle ? -1 : 1;
    const aim = (end, other) => { end.aim = line.side ? line.side * 1e6 : other.x; };
    aim(upper, lower); aim(lower, upper);
    ends.push(upper, lower);
    return line;
  });
  // Several lines at one side of a mention begin beside each other, in the order of their aims
  for (const group of groupBy(ends, (end) => `${end.mark.id} ${!!end.down}`).values()) {
    group.sort((a, b) => a.aim - b.aim);
    const step = Math.min(11, group[0].width / (group.length + 1));
    group.forEach((end, i) => { end.x += (i - (group.length - 1) / 2) * step; });
    group[0].isAlone = group.length === 1;
  }
  for (const line of lines) {
    const { upper, lower, rows, item } = line;
    const size = pen.measureText(item.caption).width + 8;
    if (rows < 2) spread(upper, lower, size + 24);
    const edge = line.side < 0 ? left - 6 : left + width + 6;
    const make = (gap, a, b) => {
      const part = { gap, a, b, lo: Math.min(a, b), hi: Math.max(a, b), size: 0, rows };
      parts.push(part);
      return part;
    };
    line.parts = rows < 2 ? [make(lower.line, upper.x, lower.x)]
      : [make(upper.line + 1, upper.x, edge), make(lower.line, edge, lower.x)];
    upper.part = line.parts[0];
    lower.part = line.parts[line.parts.length - 1];
    line.labelled = line.parts.reduce((x, y) => (y.hi - y.lo > x.hi - x.lo ? y : x));
    line.labelled.size = size;
    const spare = Math.max(0, size - (line.labelled.hi - line.labelled.lo)) / 2;
    const least = left - MARGIN, shift = Math.max(0, least - (line.labelled.lo - spare));
    line.labelled.lo += shift - spare;
    line.labelled.hi += shift + spare;
    if (line.side) {
      line.vertical = { lo: upper.line + 1, hi: lower.line, side: line.side };
      verticals.push(line.vertical);
    }
  }
  let most = 0;
  for (const group of groupBy(parts, (part) => part.gap).values()) {
    group.sort((x, y) => (x.rows > 0) - (y.rows > 0) || x.hi - x.lo - (y.hi - y.lo));
    const count = assignLanes(group, 6);
    for (const part of group) part.count = count;
    most = Math.max(most, count);
  }
  const room = Math.max(6, height - 30);
  const pitch = Math.min(PITCH, room / Math.max(most, 1));
  for (const part of parts) {
    const step = Math.min(PITCH, room / part.count);
    part.y = top + part.gap * height - (part.lane - (part.count - 1) / 2) * step;
  }
  for (const group of groupBy(verticals, (x) => x.side).values()) {
    group.sort((x, y) => x.hi - x.lo - (y.hi - y.lo));
    const step = Math.min(7, (MARGIN - 12) / assignLanes(group, 0));
    for (const x of group)
      x.x = x.side < 0 ? left - 8 - x.lane * step : left + width + 8 + x.lane * step;
  }
  for (const line of lines) {
    const { upper, lower, head, tail } = line;
    const points = [[upper.x, upper.down ? upper.bottom : upper.top], [upper.x, upper.part.y]];
    if (line.vertical)
      points.push([line.vertical.x, upper.part.y], [line.vertical.x, lower.part.y]);
    points.push([lower.x, lower.part.y], [lower.x, lower.top]);
    if (tail === upper) points.reverse();
    line.points = points;
    line.tip = [tail.x, tail.down ? tail.bottom : tail.top, !!tail.down];
    line.label = placeLabel(line.labelled, ends, left, width);
  }
  return { lines, lanes: most, pitch };
};
